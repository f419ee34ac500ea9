"""Small shards folders for tests of code that reads shards, written independently of `wavlm.shards.build`."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wavlm.shards.flac import encode_flac
from wavlm.shards.index import INDEX_SCHEMA
from wavlm.storage.files import sha256_of


@dataclass(frozen=True)
class Spoken:
    key: str
    speaker: str
    waveform: np.ndarray
    phones: tuple[tuple[float, float, str], ...] | None = None
    split: str = "train"
    language: str = ""


def write_shards(folder: Path, utterances: Sequence[Spoken], per_shard: int = 4) -> Path:
    """Write tars of at most `per_shard` utterances, split by split, with index and listing."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, shards = [], {}
    for split in ("train", "valid"):
        chosen = [item for item in utterances if item.split == split]
        for number, first in enumerate(range(0, len(chosen), per_shard)):
            name = f"{split}-{number:06d}.tar"
            part = chosen[first : first + per_shard]
            rows += _write_tar(folder / name, part)
            shards[name] = {
                "sha256": sha256_of(folder / name),
                "utterances": len(part),
                "samples": sum(len(item.waveform) for item in part),
            }
    pq.write_table(pa.Table.from_pylist(rows, INDEX_SCHEMA), folder / "index.parquet")
    (folder / "shards.json").write_text(json.dumps(shards))
    return folder


def tones(count: int, seed: int = 0, seconds: float = 0.5, split: str = "train") -> list[Spoken]:
    """Utterances of two alternating tones in noise, whose phones are the tones."""
    rng = np.random.default_rng(seed)
    spoken = []
    for number in range(count):
        num_samples = int(seconds * 16000) + int(rng.integers(0, 2000))
        times_s = np.arange(num_samples) / 16000
        high = (times_s // 0.1).astype(int) % 2
        wave = 0.3 * np.sin(2 * np.pi * np.where(high, 2500, 500) * times_s)
        waveform = (wave + 0.003 * rng.standard_normal(num_samples)).astype(np.float32)
        phones = tuple((0.1 * k, 0.1 * (k + 1), "high" if k % 2 else "low") for k in range(int(times_s[-1] // 0.1) + 1))
        key = f"{split}{seed}-{number:03d}"
        spoken.append(Spoken(key, f"speaker{number % 3}", waveform, phones, split))
    return spoken


def chords(count: int, seed: int = 0, seconds: float = 2.0, split: str = "train") -> list[Spoken]:
    """Utterances of five tones in random order, whose phones are the tones: phones between the same two phones."""
    rng = np.random.default_rng(seed)
    spoken = []
    for number in range(count):
        names = rng.integers(0, 5, int(seconds / 0.1))
        times_s = np.arange(len(names) * 1600) / 16000
        wave = 0.3 * np.sin(2 * np.pi * (400 * 1.5 ** names.repeat(1600)) * times_s)
        waveform = (wave + 0.003 * rng.standard_normal(len(times_s))).astype(np.float32)
        phones = tuple((0.1 * place, 0.1 * (place + 1), "aeiou"[name]) for place, name in enumerate(names))
        spoken.append(Spoken(f"{split}{seed}-{number:03d}", f"speaker{number % 3}", waveform, phones, split))
    return spoken


def _write_tar(path: Path, part: Sequence[Spoken]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for item in part:
            flac = encode_flac(item.waveform)
            described = {
                "key": item.key,
                "speaker": item.speaker,
                "language": item.language,
                "split": item.split,
                "samples": len(item.waveform),
                "text": None,
                "phones": item.phones,
                "pieces": [],
            }
            for suffix, data in (("flac", flac), ("json", json.dumps(described).encode())):
                info = tarfile.TarInfo(f"{item.key}.{suffix}")
                info.size = len(data)
                if suffix == "flac":
                    rows.append(
                        {
                            "key": item.key,
                            "shard": path.name,
                            "offset": tar.offset + tarfile.BLOCKSIZE,  # behind the header
                            "size": len(flac),
                            "samples": len(item.waveform),
                            "speaker": item.speaker,
                            "split": item.split,
                            "sha256": hashlib.sha256(flac).hexdigest(),
                            "language": item.language,
                        }
                    )
                tar.addfile(info, io.BytesIO(data))
    return rows
