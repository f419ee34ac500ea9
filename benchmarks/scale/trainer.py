"""The trainer at the size of the paper's corpora: memory of a rank, and CPU time until its first batch.

Rows are fake, their audio is not: every shard is a link to one tar with one utterance of 22 s. The flat labels are
there already, as after the first start. A rank is measured with nothing there, and again as a resumed one.
"""

from __future__ import annotations

import io
import json
import tarfile
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.scale import Row, Spent, cost_of
from benchmarks.scale.rows import fake_lengths, fake_sha256s, name_numbers, steps

SIZE = 3_000_000
EMPTY = 2_000  # utterances of a trainer that counts as empty
RATE_HZ = 16_000
PER_SHARD = 1_800  # utterances of 12 s in 512 MB
CORPUS = "fake"


def measure(size: int | None = None) -> list[Row]:
    """Private memory, mapped bytes, and CPU seconds after the imports."""
    size = size or SIZE
    with TemporaryDirectory() as name:
        folder = Path(name)
        for part, count in (("empty", EMPTY), ("full", size)):
            cost_of(write_fakes, folder / part, count)
        _, empty, first, later = (cost_of(start_rank, folder / part) for part in ("empty", "empty", "full", "full"))
    bytes_each = later.result["mapped_bytes"] / size
    return [
        Row(
            "trainer: private memory of a rank above an empty one, first start",
            _above(first, empty),
            "MB",
            size,
            "1,600 MB",
            "<= 60 MB",
        ),
        Row(
            "trainer: private memory of a rank above an empty one",
            _above(later, empty),
            "MB",
            size,
            "1,600 MB",
            "<= 60 MB",
        ),
        Row("trainer: mapped and shared, per utterance", bytes_each, "B", size, "0 B", "<= 120 B"),
        Row(
            "trainer: to the first batch, where the columns are not made yet",
            first.result["cpu_s"],
            "CPU s",
            size,
            "13.6",
            "<= 2",
        ),
        Row("trainer: to the first batch, every later start", later.result["cpu_s"], "CPU s", size, "13.6", "<= 2"),
    ]


def _above(one: Spent, other: Spent) -> float:
    return float(one.result["private_mb"] - other.result["private_mb"])


def start_rank(folder: Path) -> dict[str, float]:
    """What a rank costs that opens the data and makes one batch."""
    import time

    import torch

    from wavlm.engine.ranks import Ranks
    from wavlm.loader.epochs import SamplerState
    from wavlm.loader.utterances import cache_of
    from wavlm.train.data import data_of

    job = make_job(folder)
    began = time.process_time()
    data = data_of(job, Ranks(0, 1, torch.device("cpu")))
    batches = data.train(SamplerState(0, 40))
    next(batches)
    cpu_s = time.process_time() - began
    mapped = sum(path.stat().st_size for path in cache_of(job).rglob("*.bin") if path.name != "labels.bin")
    return {"cpu_s": cpu_s, "private_mb": read_private_mb(), "mapped_bytes": float(mapped)}


def read_private_mb() -> float:
    """Memory that is this process's alone, which no other one can share: of no file (Linux)."""
    fields = (line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return sum(int(words[1]) for words in fields if words[0] == "Anonymous:") * 1024 / 1e6


def make_job(folder: Path) -> Any:
    from benchmarks.workload import BASE
    from wavlm.execution.job import LabelledShards, TrainJob
    from wavlm.execution.runtime import Runtime
    from wavlm.specs import TrainSpec

    train = TrainSpec(updates=1, warmup_updates=0, peak_lr=1e-4, batch_seconds=350, group_seconds=87.5)
    data = (LabelledShards(shards=folder / "shards", labels=folder / "labels", corpus=CORPUS),)
    return TrainJob(
        key="0" * 12,
        out=folder / "out",
        network=BASE,
        train=train,
        num_clusters=500,
        data=data,
        runtime=Runtime(workers=0),
    )


def write_fakes(folder: Path, size: int) -> None:
    """A shards folder of so many utterances, and the labels that belong to it, all of them 0."""
    from wavlm.labels.flat import COLUMNS, _fingerprint
    from wavlm.loader.utterances import cache_of
    from wavlm.shards.index import INDEX_SCHEMA, index_path
    from wavlm.storage.columns import open_columns
    from wavlm.storage.parquet import open_parquet

    shards = folder / "shards"
    shards.mkdir(parents=True)
    (folder / "labels").mkdir()
    (folder / "labels" / "labels.json").write_text("{}")
    flac_bytes = _write_tar(shards / "one.tar")
    names = [f"train-{number:06d}.tar" for number in range(-(-size // PER_SHARD))]
    for name in names:
        (shards / name).hardlink_to(shards / "one.tar")
    listed = {name: {"sha256": "0" * 64, "utterances": PER_SHARD, "samples": 0} for name in names}
    (shards / "shards.json").write_text(json.dumps(listed))
    with open_parquet(index_path(shards), INDEX_SCHEMA) as add:
        for numbers in steps(size):
            add(_rows(numbers, flac_bytes, size))

    def build(writer: Any) -> dict[str, Any]:
        for numbers in steps(size):
            frames = (fake_lengths(numbers) - 400) // 320 + 1
            checks = {int(count): zlib.crc32(bytes(2 * int(count))) for count in np.unique(frames)}
            ends = np.cumsum(frames) + writer.length("labels")
            found = np.array([checks[count] for count in frames.tolist()])
            columns = (np.zeros(int(frames.sum()), np.uint16), ends, found)
            for (name, dtype), values in zip(COLUMNS.items(), columns, strict=True):
                writer.append(name, values, dtype)
        return {"first_rows": [0], "footers": ["00" * 32]}

    name = _fingerprint([(folder / "labels", shards)], None)
    open_columns(cache_of(make_job(folder)) / f"labels-{name}", build)


def _write_tar(path: Path) -> int:
    """A tar of one utterance of 22 s; the bytes of its FLAC."""
    from wavlm.shards.flac import encode_flac

    noise = np.random.default_rng(0).normal(0, 0.01, 22 * RATE_HZ).astype(np.float32)
    blob = encode_flac(noise)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo("one.flac")
        info.size = len(blob)
        tar.addfile(info, io.BytesIO(blob))
    return len(blob)


def _rows(numbers: np.ndarray, flac_bytes: int, size: int) -> pa.Table:
    from wavlm.shards.index import INDEX_SCHEMA

    count, lengths = len(numbers), fake_lengths(numbers)
    ones = np.arange(count + 1, dtype=np.int32)
    origins = pa.StructArray.from_arrays(
        [pa.array(numbers, pa.uint64()), pa.array(np.zeros(count), pa.int16()), pa.array(np.zeros(count), pa.int64()),
         pa.array(lengths, pa.int64())],
        ["file", "channel", "start", "stop"],
    )  # fmt: skip
    columns = {
        "key": name_numbers("utterance-", numbers),
        "shard": name_shards(numbers),
        "offset": pa.array(np.full(count, tarfile.BLOCKSIZE)),
        "size": pa.array(np.full(count, flac_bytes)),
        "samples": pa.array(lengths),
        "speaker": name_numbers("speaker-", numbers // 500),
        "split": pa.array(np.where(numbers >= size * 0.995, "valid", "train")),
        "sha256": fake_sha256s(numbers),
        "language": pa.array(np.full(count, "en")),
        "origins": pa.ListArray.from_arrays(ones, origins),
    }
    return pa.table(columns).cast(INDEX_SCHEMA)


def name_shards(numbers: np.ndarray) -> pa.Array:
    return pa.array([f"train-{number:06d}.tar" for number in (numbers // PER_SHARD).tolist()])
