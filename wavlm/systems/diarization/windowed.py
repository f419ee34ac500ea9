"""Systems that give each window of speech to one speaker: clustering of x-vectors, and VBx. Nobody overlaps.

Legend: W windows, N samples, E width of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal, Protocol

import numpy as np

from wavlm.errors import Code, UsageError
from wavlm.evaluation.heads.apart import Integers
from wavlm.evaluation.metrics.checks import Floats
from wavlm.evaluation.metrics.diarization import Turn
from wavlm.shards.flac import Waveform
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.systems.diarization.clustering import cluster_by_cosine, cluster_by_plda
from wavlm.systems.diarization.plda import Plda
from wavlm.systems.diarization.speech import Detector, find_speech
from wavlm.systems.diarization.vbx import VbxSettings, run_vbx
from wavlm.systems.diarization.windows import Window, cut_windows, join_windows
from wavlm.systems.recording import RecordedSamples, read_waveform_of

Method = Literal["cosine", "plda", "vbx"]
LEAST_SAMPLES = SAMPLE_RATE_HZ // 2  # a shorter window gets an embedding of so much around its middle
BATCH = 16
MOST_FIRST = 200  # clusters that VBx begins with: its memory and time grow with them, and a meeting has fewer voices


class Embed(Protocol):
    """From waveforms of one length (W, N) to an embedding of each (W, E)."""

    def __call__(self, waveforms: Waveform) -> Floats: ...


@dataclass(frozen=True)
class WindowClustering:
    """How windows are cut and clustered."""

    method: Method = "cosine"
    detector: Detector = "webrtc"
    window_s: float = 1.5
    hop_s: float = 0.75
    stop: float = 0.5  # least mean cosine, or log likelihood ratio, up to which clusters are joined
    extra_stop: float = 0.1  # VBx begins with clusters that stop earlier by this: too many, of which it drops some
    speakers: int | None = None  # how many there are, if that is known; VBx finds so many at most
    vbx: VbxSettings = field(default_factory=VbxSettings)


@dataclass(frozen=True)
class WindowDiarizer:
    """Diarizes by embeddings of windows."""

    embed: Embed
    settings: WindowClustering
    plda: Plda | None = None

    def find_turns(self, samples: RecordedSamples, reference: Sequence[Turn] = ()) -> list[Turn]:
        """The turns of a recording. `reference`: for the detector `oracle`.

        Raises UsageError (PLDA_MISSING) for a method that needs a PLDA.
        """
        chosen = self.settings
        self._require_plda()
        regions = find_speech(chosen.detector, samples, reference)
        windows = cut_windows(regions, chosen.window_s, chosen.hop_s)
        if not windows:
            return []
        labels = label_windows(self.embed_windows(samples, windows), chosen, self.plda)
        return join_windows(windows, labels.tolist())

    def embed_windows(self, samples: RecordedSamples, windows: Sequence[Window]) -> Floats:
        """An embedding per window, (W, E). Windows of one length are computed together."""
        rows: dict[int, Floats] = {}
        spans = [_span(it, samples.num_samples) for it in windows]
        order = sorted(range(len(spans)), key=lambda number: spans[number][1] - spans[number][0])
        for _, group in groupby(order, key=lambda number: spans[number][1] - spans[number][0]):
            numbers = list(group)
            for begin in range(0, len(numbers), BATCH):
                chosen = numbers[begin : begin + BATCH]
                waveforms = np.stack([read_waveform_of(samples, *spans[number]) for number in chosen])
                rows.update(zip(chosen, self.embed(waveforms), strict=True))
        return np.stack([rows[number] for number in range(len(windows))]).astype(np.float64)

    def _require_plda(self) -> None:
        if self.settings.method != "cosine" and self.plda is None:
            raise UsageError(
                Code.PLDA_MISSING,
                f"the method {self.settings.method} needs a PLDA, and the system has none; in the system's folder; fit "
                "one with `wavlm diarize-fit`, or choose the method cosine",
            )


def label_windows(embeddings: Floats, chosen: WindowClustering, plda: Plda | None) -> Integers:
    """The speaker of each window, (W,), from 0 on."""
    if chosen.method == "cosine":
        return cluster_by_cosine(embeddings, chosen.stop, chosen.speakers)
    assert plda is not None  # noqa: S101 - was required
    projected = plda.project(embeddings)
    if chosen.method == "plda":
        return cluster_by_plda(projected, plda, chosen.stop, chosen.speakers)
    first = cluster_by_cosine(embeddings, chosen.stop + chosen.extra_stop, most=MOST_FIRST)
    if chosen.speakers is not None and first.max() + 1 < chosen.speakers:
        first = cluster_by_cosine(embeddings, chosen.stop, chosen.speakers)
    return run_vbx(projected, plda.between, first, chosen.vbx).labels_of(chosen.speakers)


def _span(it: Window, num_samples: int) -> tuple[int, int]:
    """The samples of a window, at least half a second, within the recording as far as that is long enough."""
    start, stop = (round(second * SAMPLE_RATE_HZ) for second in (it.start_s, it.end_s))
    if stop - start < LEAST_SAMPLES:
        start = (start + stop - LEAST_SAMPLES) // 2
        start = max(0, min(start, num_samples - LEAST_SAMPLES))
        stop = start + LEAST_SAMPLES
    return start, stop
