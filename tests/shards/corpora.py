"""Small generated corpora for tests: audio files and their manifest."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from wavlm.corpus.layouts import Phone
from wavlm.corpus.manifest import ManifestRow, write_manifest
from wavlm.specs import ShardSpec

Split = Literal["train", "valid"]
Samples = NDArray[np.float64]

SPEC = ShardSpec(min_seconds=0.5, max_seconds=3.0, cut="equal", shard_megabytes=0.1, max_rejected=0.0)


@dataclass(frozen=True)
class Clip:
    """One recording of a corpus. Clips of equal `file` are regions of one file, whose bytes they repeat."""

    key: str
    blob: bytes
    suffix: str = ".wav"
    speaker: str = "anna"
    split: Split = "train"
    text: str | None = None
    phones: tuple[tuple[float, float, str], ...] | None = None
    sample_rate_hz: int = -1
    num_samples: int = -1
    start_s: float | None = None
    end_s: float | None = None
    channel: int | None = None
    language: str | None = None
    file: str = ""  # name without suffix; empty: the key


def encode_audio(samples: Samples, rate_hz: int = 16000, subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format="WAV", subtype=subtype)
    return file.getvalue()


def noise(seconds: float, seed: int, rate_hz: int = 16000) -> Samples:
    samples = np.random.default_rng(seed).uniform(-0.3, 0.3, round(seconds * rate_hz))
    return np.asarray(samples, np.float64)


def noise_clip(key: str, seconds: float, speaker: str = "anna", split: Split = "train") -> Clip:
    samples = noise(seconds, seed=len(key) + sum(key.encode()))
    return Clip(
        key,
        encode_audio(samples),
        speaker=speaker,
        split=split,
        sample_rate_hz=16000,
        num_samples=len(samples),
    )


def write_corpus(folder: Path, clips: Sequence[Clip]) -> Path:
    (folder / "audio").mkdir(parents=True)
    rows = []
    for clip in clips:
        path = f"audio/{clip.file or clip.key}{clip.suffix}"
        (folder / path).write_bytes(clip.blob)
        rows.append(
            ManifestRow(
                key=clip.key,
                path=path,
                speaker=clip.speaker,
                split=clip.split,
                text=clip.text,
                phones=None if clip.phones is None else tuple(Phone(*item) for item in clip.phones),
                size_bytes=len(clip.blob),
                sha256=hashlib.sha256(clip.blob).hexdigest(),
                sample_rate_hz=clip.sample_rate_hz,
                num_samples=clip.num_samples,
                start_s=clip.start_s,
                end_s=clip.end_s,
                channel=clip.channel,
                language=clip.language,
            )
        )
    write_manifest(folder / "manifest.parquet", rows, corpus="test", rule="listed", below=0.0)
    return folder


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(_files(folder))
        if not any(part.endswith(".partial") for part in path.relative_to(folder).parts)
    }


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
