"""Continuous separation: a recording of any length to two streams, in neither of which two speak at once.

A window moves over the recording. Each has some past and some future around the stretch that it is for. Its two voices
come in any order, so they are put into the one that is closest to the window before where both lie, and stretches are
faded into one another (Chen et al. 2020, arXiv 2001.11482, section 3).

Legend: N samples, W samples of a window, V voices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from wavlm.errors import Code, UsageError
from wavlm.evaluation.heads.css.separator import NUM_VOICES, Separator, spectrum, waveform
from wavlm.features.hidden import single_precision
from wavlm.finetune.load import LoadedSystem, load_system
from wavlm.shards.flac import FULL_SCALE, Waveform
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.systems.recording import HeldSamples, RecordedSamples, open_samples, read_waveform_of

LEAST_SAMPLES = SAMPLE_RATE_HZ // 10  # a shorter window is filled with silence: models need some frames


@dataclass(frozen=True)
class Windows:
    """What a window holds. 1.2, 0.8 and 0.4 s are those of the authors of LibriCSS."""

    past_s: float = 1.2
    current_s: float = 0.8
    future_s: float = 0.4
    fade_s: float = 0.02

    def samples(self, seconds: float) -> int:
        return round(seconds * SAMPLE_RATE_HZ)


class SeparatesWindows(Protocol):
    """What separates one window (W,) into voices (V, W)."""

    def __call__(self, window: Waveform) -> Waveform: ...


@dataclass(frozen=True)
class TrainedSeparator:
    """A fine-tuned system with the head `conformer`."""

    loaded: LoadedSystem

    def __call__(self, window: Waveform) -> Waveform:
        """The two voices (V, W) of a window (W,); what else is heard is left out."""
        filled = np.pad(window, (0, max(0, LEAST_SAMPLES - len(window))))
        batch = self.loaded.batch(filled)
        head = self.loaded.system.head
        assert isinstance(head, Separator)  # noqa: S101 - checked when it was opened
        with torch.inference_mode(), single_precision():
            mixture = spectrum(torch.from_numpy(filled)[None].to(batch.states.device))
            wanted = torch.tensor([mixture.shape[1]], device=mixture.device)
            masks = head(mixture, batch.states, batch.num_frames, wanted)[0, :NUM_VOICES]
            voices: Waveform = waveform(masks * mixture, len(filled)).cpu().numpy()
        return voices[:, : len(window)]


def open_separator(folder: Path, device: str | None = None) -> TrainedSeparator:
    """The system in a folder of fine-tuning.

    Raises UsageError: SYSTEM_UNKNOWN for a folder without a system that separates, and as `wavlm.finetune.load`.
    """
    loaded = load_system(folder, device)
    if not isinstance(loaded.system.head, Separator):
        raise UsageError(
            Code.SYSTEM_UNKNOWN,
            f"the system {loaded.about.name} does the task {loaded.about.task.type} with the head "
            f"{loaded.about.head.type}, expected ss with conformer; at {folder}; name another folder",
        )
    return TrainedSeparator(loaded)


def separate(
    recording: Path | str | Waveform, system: SeparatesWindows | Path | str, windows: Windows | None = None
) -> Waveform:
    """The two streams (V, N) of a recording, float within -1 .. 1 at 16 kHz.

    recording: an audio file of any format and rate, or samples (N,) at 16 kHz. system: what `open_separator` gave, or a
    folder. For recordings of hours `separate_stretches` needs less memory.
    Raises AudioError for a file that cannot be decoded.
    """
    opened = open_separator(Path(system)) if isinstance(system, Path | str) else system
    chosen = windows or Windows()
    if isinstance(recording, Path | str):
        with open_samples(Path(recording)) as samples:
            return _join(separate_stretches(samples, opened, chosen))
    pcm = np.rint(np.asarray(recording, np.float32) * FULL_SCALE).clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return _join(separate_stretches(HeldSamples(pcm), opened, chosen))


def separate_stretches(samples: RecordedSamples, separates: SeparatesWindows, windows: Windows) -> Iterator[Waveform]:
    """The streams, stretch by stretch (V, n): one after another they are as long as the recording."""
    past, current, future, fade = (
        windows.samples(it) for it in (windows.past_s, windows.current_s, windows.future_s, windows.fade_s)
    )
    before: tuple[int, Waveform] | None = None  # where the last window began, and its voices
    for start in range(0, samples.num_samples, current):
        first = max(0, start - past)
        last = min(samples.num_samples, start + current + future)
        voices = separates(read_waveform_of(samples, first, last))
        if before is not None:
            voices = _in_order(before, (first, voices))
        end = min(samples.num_samples, start + current)
        stretch = voices[:, start - first : end - first].copy()
        if before is not None:
            _fade_in(stretch, before[1][:, start - before[0] :], min(fade, len(stretch[0])))
        yield stretch
        before = (first, voices)


def _in_order(before: tuple[int, Waveform], now: tuple[int, Waveform]) -> Waveform:
    """The voices of a window in the order that is closer to those of the window before, where both lie."""
    (was_first, was), (first, voices) = before, now
    length = min(was_first + was.shape[1] - first, voices.shape[1])
    old, new = was[:, first - was_first : first - was_first + length], voices[:, :length]
    kept, swapped = (float(((old - it) ** 2).sum()) for it in (new, new[::-1]))
    return voices if kept <= swapped else voices[::-1]


def _fade_in(stretch: Waveform, was: Waveform, length: int) -> None:
    """Fade from the window before into the beginning of a stretch."""
    length = min(length, was.shape[1])
    share = (np.arange(length, dtype=np.float32) + 1) / (length + 1)
    stretch[:, :length] = stretch[:, :length] * share + was[:, :length] * (1 - share)


def _join(stretches: Iterator[Waveform]) -> Waveform:
    found = list(stretches)
    return np.concatenate(found, axis=1) if found else np.zeros((NUM_VOICES, 0), np.float32)
