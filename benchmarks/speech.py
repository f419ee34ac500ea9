"""Speech to measure with: shards that are given, or audio that is made up and has speech's size.

`WAVLM_BENCH_SHARDS` names a folder of shards, as the shards stage makes it. Without it, utterances
are synthesised (pulses and noise through moving resonances, pauses, a noise floor) and go through
the corpus and shards stages, so that any machine has the same audio.

Legend: N samples, F frames of the synthesis, P sounds, S bins of the spectrum.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import soundfile

from wavlm.execution.job import LabelledShards
from wavlm.execution.progress import no_progress
from wavlm.labels.files import Header, write_labels
from wavlm.rng import rng_for
from wavlm.shards import Reader, build_shards, read_index, read_listing
from wavlm.shards.recordings import Intake
from wavlm.specs import SAMPLE_RATE_HZ, CorpusSpec, FolderSource, ShardSpec
from wavlm.specs.frames import num_labels
from wavlm.specs.layouts import GenericLayout
from wavlm.storage.files import write_json

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

SHARDS_VARIABLE = "WAVLM_BENCH_SHARDS"
NUM_UTTERANCES = 130  # half an hour; ten micro-batches of 13 at 15 s
SECONDS = (13.0, 15.6)  # most of LibriSpeech lies in between
NUM_CLUSTERS = 100
LABEL_RATE_HZ = 100
RUN_LABELS = 4  # mean run of one label: MFCC clusters of speech last about as long

_WINDOW, _HOP = 512, 256  # samples of the synthesis
_NUM_PHONES, _NUM_SPEAKERS = 40, 10
_FLOOR_LEVELS = 5.0  # of 16-bit noise: gives FLAC the size that it has of read speech


@dataclass(frozen=True)
class Speech:
    """Shards of 16 kHz speech and a folder for what is made of them."""

    shards: Path
    work: Path
    seconds: float
    note: str  # what the audio is and how large its FLAC: belongs beside every figure

    def waveforms(self, seconds: float) -> list[Floats]:
        """Whole utterances of the train split, (N,) each, of about so many seconds in all."""
        reader, index = Reader(self.shards), read_index(self.shards)
        rows = index.rows_of("train")
        enough = int(np.searchsorted(np.cumsum(index.samples[rows]), seconds * SAMPLE_RATE_HZ)) + 1
        return [reader.read(int(row)) for row in rows[:enough]]

    def write_random_labels(self) -> LabelledShards:
        """The shards with labels at 100 Hz that are drawn, in runs: what they are costs no time."""
        index, listed = read_index(self.shards), read_listing(self.shards)
        folder = self.work / "labels"
        folder.mkdir(exist_ok=True)
        for shard in listed:
            rows = np.flatnonzero(index.shards == shard)
            write_labels(
                folder / f"{Path(shard).stem}.parquet",
                list(index.keys[rows]),
                [_draw_labels(index.keys[row], int(index.samples[row])) for row in rows],
                Header(listed[shard].sha256, "0" * 64, '"drawn"', LABEL_RATE_HZ, NUM_CLUSTERS),
            )
        write_json(folder / "labels.json", {"labels": "drawn"})
        return LabelledShards(shards=self.shards, labels=folder)


@dataclass(frozen=True)
class _Sounds:
    """What follows what in an utterance of the synthesis."""

    phones: Integers  # (P,)
    shifts: npt.NDArray[np.float64]  # (P, 3) factors on the formants
    gains: npt.NDArray[np.float64]  # (P,)
    of_frames: Integers  # (F,) the sound of each frame


@contextmanager
def speech(
    num_utterances: int = NUM_UTTERANCES,
    seconds: tuple[float, float] = SECONDS,
    *,
    may_be_given: bool = True,
) -> Iterator[Speech]:
    """The given shards, or so many synthetic utterances of so many seconds; removed at the end."""
    with TemporaryDirectory(prefix="wavlm-bench-") as folder:
        work = Path(folder)
        given = os.environ.get(SHARDS_VARIABLE) if may_be_given else None
        shards = Path(given).resolve() if given else _synthetic(work, num_utterances, seconds)
        index = read_index(shards)
        audio_s = float(index.samples.sum()) / SAMPLE_RATE_HZ
        kilobytes = float(index.sizes.sum()) / audio_s / 1000
        what = "given shards" if given else "synthetic audio"
        note = f"{what}, {audio_s / 60:.1f} min, {kilobytes:.1f} kB/s of FLAC"
        yield Speech(shards, work, audio_s, note)


def _synthetic(work: Path, num_utterances: int, seconds: tuple[float, float]) -> Path:
    """Recordings as WAV, then the corpus stage, then the shards stage."""
    from wavlm.corpus.build import build_corpus

    recordings, corpus, shards = work / "recordings", work / "corpus", work / "shards"
    for number in range(num_utterances):
        path = recordings / f"speaker{number % _NUM_SPEAKERS}" / f"utterance{number:04d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, utterance(number, seconds), SAMPLE_RATE_HZ, subtype="PCM_16")
    spec = CorpusSpec(
        name="synthetic",
        role="speech",
        description="Pulses and noise through moving resonances",
        homepage="none",
        license="none",
        citation="none",
        sources=(FolderSource(type="folder", path=str(recordings)),),
        valid_fraction=0.0,
        layout=GenericLayout(type="generic", audio="**/*.wav", speaker=r"(?P<speaker>speaker\d+)"),
    )
    build_corpus(spec, work / "downloads", corpus, no_progress)
    packing = ShardSpec(min_seconds=1.0, max_seconds=max(16.0, seconds[1]), shard_megabytes=64.0)
    build_shards(packing, corpus, shards, 1, no_progress, Intake(root=recordings))
    return shards


def utterance(number: int, seconds: tuple[float, float] = SECONDS) -> Floats:
    """A made-up utterance, (N,), the same for every call."""
    rng = rng_for(0, "utterance", number)
    num_samples = round(rng.uniform(*seconds) * SAMPLE_RATE_HZ)
    num_frames = num_samples // _HOP + 2
    sounds = _sounds(rng, num_frames)
    window = np.sqrt(np.hanning(_WINDOW + 1)[:-1]).astype(np.float32)
    pieces = []
    for voiced in (True, False):
        source = _pulses(rng, num_frames) if voiced else _noise(rng, _length(num_frames))
        framed = np.lib.stride_tricks.sliding_window_view(source, _WINDOW)[::_HOP] * window
        gain = _resonances(number % _NUM_SPEAKERS, sounds, voiced=voiced)
        pieces.append(np.fft.irfft(np.fft.rfft(framed) * gain) * window)  # (F, 512)
    halves = (pieces[0] + pieces[1]).reshape(num_frames, 2, _HOP)
    overlapped = halves[1:, 0] + halves[:-1, 1]  # (F - 1, 256)
    audible = overlapped.ravel()[:num_samples]
    audible *= np.float32(0.05) / np.sqrt(np.mean(np.square(audible)))
    floor = np.float32(_FLOOR_LEVELS / 32768) * _noise(rng, num_samples)
    return (audible + floor).clip(-1, 1)


def _length(num_frames: int) -> int:
    return (num_frames - 1) * _HOP + _WINDOW


def _sounds(rng: np.random.Generator, num_frames: int) -> _Sounds:
    """Each lasts 3 to 11 frames (48 to 176 ms); no two of one phone are quite alike."""
    of_frames = np.repeat(np.arange(num_frames), rng.integers(3, 12, num_frames))[:num_frames]
    count = int(of_frames[-1]) + 1
    return _Sounds(
        phones=rng.integers(_NUM_PHONES, size=count),
        shifts=np.exp(0.1 * rng.standard_normal((count, 3))),
        gains=10 ** (rng.uniform(-8, 4, count) / 20),
        of_frames=of_frames,
    )


def _noise(rng: np.random.Generator, num_samples: int) -> Floats:
    return rng.standard_normal(num_samples, dtype=np.float32)


def _pulses(rng: np.random.Generator, num_frames: int) -> Floats:
    """One pulse a period of a pitch that wanders, of the power of the noise, (N,)."""
    steps = np.cumsum(rng.standard_normal(num_frames + 1))
    pitch_hz = rng.uniform(90, 220) * np.exp2(0.25 * np.sin(steps / 6))
    phase = np.cumsum(np.repeat(pitch_hz, _HOP)[: _length(num_frames)] / SAMPLE_RATE_HZ)
    pulses = np.diff(np.floor(phase), prepend=0.0) * np.sqrt(SAMPLE_RATE_HZ / 150)
    as_floats: Floats = pulses.astype(np.float32)
    return as_floats


def _resonances(speaker: int, sounds: _Sounds, *, voiced: bool) -> Floats:
    """Amplitude of each bin in each frame, (F, S): three formants a sound, blurred over frames."""
    rng = rng_for(0, "phones")
    centres_hz = rng.uniform((250, 800, 2200), (800, 2300, 4500), (_NUM_PHONES, 3))
    widths_hz = rng.uniform(60, 250, (_NUM_PHONES, 3))
    levels = 10 ** (rng.uniform(-30, 0, _NUM_PHONES) / 20)
    levels[: _NUM_PHONES // 8] = 0  # pauses
    is_voiced = np.arange(_NUM_PHONES) % 4 != 0
    levels *= np.where(is_voiced == voiced, 1.0, 0.03)
    centres_hz *= rng_for(0, "speaker", speaker).uniform(0.85, 1.2)
    bins_hz = np.fft.rfftfreq(_WINDOW, 1 / SAMPLE_RATE_HZ)
    centres_hz = centres_hz[sounds.phones] * sounds.shifts
    away = (bins_hz - centres_hz[..., None]) / widths_hz[sounds.phones, :, None]  # (P, 3, S)
    tilt = 1 / (1 + bins_hz / 1000) if voiced else np.ones_like(bins_hz)
    shape = (0.02 + (1 / (1 + away**2)).sum(1)) * tilt  # (P, S)
    gains = (levels[sounds.phones] * sounds.gains)[:, None] * shape
    of_frames = gains.astype(np.float32)[sounds.of_frames]
    padded = np.pad(of_frames, ((1, 1), (0, 0)), "edge")
    blurred: Floats = (padded[:-2] + 2 * of_frames + padded[2:]) / 4
    return blurred


def _draw_labels(key: str, num_samples: int) -> npt.NDArray[np.uint16]:
    rng = rng_for(0, "labels", key)
    count = int(num_labels(num_samples, LABEL_RATE_HZ))
    runs = rng.geometric(1 / RUN_LABELS, count)
    return np.repeat(rng.integers(NUM_CLUSTERS, size=count), runs)[:count].astype(np.uint16)


def utterances(seconds: float) -> Sequence[Floats]:
    """Waveforms without any shards being made, for what starts at a waveform."""
    if os.environ.get(SHARDS_VARIABLE):
        with speech() as given:
            return given.waveforms(seconds)
    longest = SECONDS[1]
    return [utterance(number) for number in range(round(seconds / longest) + 1)]
