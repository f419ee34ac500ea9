"""Listen to a seeded sample of files: silence, clipping, offset, bandwidth, and whether channels are different sounds.

Shapes: C channels, T samples, W windows of 0.1 s, F frequencies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavlm.corpus.audio.reason import AudioError, Reason
from wavlm.corpus.audio.stream import open_audio
from wavlm.execution.fence import STALL_SECONDS, LostCallError, open_fence
from wavlm.execution.progress import Progress
from wavlm.pipeline.init.heads import PRELOAD, FileHead
from wavlm.rng import rng_for

Samples = NDArray[np.float32]

MOST_FILES = 100
MOST_BLOCKS = 3  # of about 10 s: what is listened to of a file
QUIET_DB = -50.0  # a window below this level, relative to full scale, is a pause
SILENT_DB = -78.0  # and one below this holds nothing: 4 steps of 16 bits
CLIPPED_AT, CLIPPED_RUN = 0.995, 3  # of full scale, and for so many samples in a row
MOST_CLIPPED = 1e-4  # of the samples: more can be heard
MOST_OFFSET = 0.01  # of full scale
FFT_SAMPLES = 1024
MOST_OF_POWER = 0.995  # of the power, with high frequencies raised, lies below the bandwidth
TELEPHONE_HZ = 4100.0
ALONE = 0.3  # channels with a smaller correlation are different sounds
OPPOSITE = -0.9


@dataclass(frozen=True)
class FileSound:
    """What half a minute of a file sounds like. `problem`: the code of why it cannot be decoded."""

    path: str
    seconds: float = 0.0
    quiet: float = 0.0  # share of the windows that are pauses
    clipped: float = 0.0  # share of the samples
    offset: float = 0.0  # of full scale
    bandwidth_hz: float = 0.0  # 0: nothing but silence
    correlation: float = 1.0  # of the first two channels
    problem: str = ""


@dataclass(frozen=True)
class Sounds:
    """What a sample of the files sounds like."""

    files: tuple[FileSound, ...]

    @property
    def heard(self) -> list[FileSound]:
        return [file for file in self.files if not file.problem]

    @property
    def silent(self) -> list[str]:
        """Files that hold nothing."""
        return [file.path for file in self.heard if not file.bandwidth_hz]

    @property
    def clipped(self) -> list[str]:
        return [file.path for file in self.heard if file.clipped > MOST_CLIPPED]

    @property
    def shifted(self) -> list[str]:
        """Files with an offset (DC)."""
        return [file.path for file in self.heard if abs(file.offset) > MOST_OFFSET]

    @property
    def pauses(self) -> float:
        """Share of the time in which nobody speaks."""
        seconds = sum(file.seconds for file in self.heard)
        return sum(file.seconds * file.quiet for file in self.heard) / seconds if seconds else 0.0

    @property
    def share_apart(self) -> float:
        """Share of the files whose first two channels are different sounds, as the parties of a call are."""
        return _share([file.correlation for file in self.heard], lambda value: abs(value) < ALONE)

    @property
    def share_opposite(self) -> float:
        """Share of the files whose first two channels cancel each other."""
        return _share([file.correlation for file in self.heard], lambda value: value < OPPOSITE)

    def telephone(self, heads: Sequence[FileHead]) -> list[str]:
        """Files of a high rate that hold no more than a telephone passes."""
        rates = {head.path: head.sample_rate_hz for head in heads}
        return [
            file.path
            for file in self.heard
            if 0 < file.bandwidth_hz < TELEPHONE_HZ and rates.get(file.path, 0) > 2.5 * TELEPHONE_HZ
        ]


def listen_to_some(
    heads: Sequence[FileHead], progress: Progress, seed: int = 0, stall_seconds: float = STALL_SECONDS
) -> Sounds:
    """Listen to at most 100 usable files, which the seed and the number of files choose."""
    usable = [head for head in heads if not head.problem]
    count = min(MOST_FILES, len(usable))
    rng = rng_for(seed, "init", len(usable))
    chosen = sorted(rng.choice(len(usable), count, replace=False)) if count else []
    sounds = []
    with open_fence(stall_seconds, PRELOAD) as fence:
        for done, number in enumerate(chosen, 1):
            path = usable[number].path
            try:
                sounds.append(fence.call(listen_to, Path(path)))
            except AudioError as error:
                sounds.append(FileSound(path, problem=str(error.code)))
            except LostCallError:
                sounds.append(FileSound(path, problem=Reason.DECODER_CRASHED))
            progress(done, count)
    return Sounds(tuple(sounds))


def listen_to(path: Path) -> FileSound:
    """What the first half minute of a file sounds like. Raises AudioError."""
    with open_audio(path) as stream:
        rate = stream.info.sample_rate_hz
        blocks = list(islice(stream.blocks(), MOST_BLOCKS))
    samples: Samples = np.concatenate(blocks, axis=1)  # (C, T)
    mono: Samples = samples.mean(axis=0)
    levels = _levels_db(mono - mono.mean(), rate)
    return FileSound(
        str(path),
        seconds=samples.shape[1] / rate,
        quiet=float((levels < QUIET_DB).mean()),
        clipped=_clipped(samples),
        offset=float(samples.mean()),
        bandwidth_hz=find_bandwidth(mono, rate),
        correlation=_correlation(samples),
    )


def find_bandwidth(mono: Samples, rate_hz: int) -> float:
    """The frequency in Hz below which the sound of a recording (T,) lies; 0 if it has none.

    Speech falls by about 6 dB per octave, so its difference is taken. Windows without sound do not count.
    """
    whole = mono[: len(mono) // FFT_SAMPLES * FFT_SAMPLES].reshape(-1, FFT_SAMPLES)
    loud = whole[_rms_db(whole - whole.mean(axis=1, keepdims=True)) > SILENT_DB] if len(whole) else whole
    if not len(loud):
        return 0.0
    spectra = np.abs(np.fft.rfft(np.diff(loud, axis=1) * np.hanning(FFT_SAMPLES - 1), axis=1)) ** 2  # (W, F)
    spectra /= np.maximum(spectra.sum(axis=1, keepdims=True), 1e-30)  # loud and soft sounds count alike
    below = np.cumsum(np.median(spectra, axis=0) if len(spectra) > 2 else spectra.mean(axis=0))
    place = int(np.searchsorted(below, MOST_OF_POWER * below[-1]))
    return place * rate_hz / (FFT_SAMPLES - 1)


def _levels_db(mono: Samples, rate_hz: int) -> NDArray[np.float64]:
    """The level of each window, (W,)."""
    size = max(1, rate_hz // 10)
    whole = mono[: max(1, len(mono) // size) * size]
    return _rms_db(whole.reshape(-1, size) if len(whole) >= size else whole.reshape(1, -1))


def _rms_db(windows: Samples) -> NDArray[np.float64]:
    power = np.square(windows, dtype=np.float64).mean(axis=1)
    return np.asarray(10 * np.log10(np.maximum(power, 1e-12)))


def _clipped(samples: Samples) -> float:
    """Share of the samples that lie in runs at full scale."""
    high = np.abs(samples) >= CLIPPED_AT  # (C, T)
    if samples.shape[1] < CLIPPED_RUN:
        return 0.0
    runs = high[:, :-2] & high[:, 1:-1] & high[:, 2:]
    return float(runs.mean())


def _correlation(samples: Samples) -> float:
    """Of the first two channels; 1 if there is one, or if one is silent."""
    if samples.shape[0] < 2 or min(samples[:2].std(axis=1)) < 1e-4:
        return 1.0
    return float(np.corrcoef(samples[0], samples[1])[0, 1])


def _share(values: Sequence[float], wanted: Callable[[float], bool]) -> float:
    return sum(map(wanted, values)) / len(values) if values else 0.0
