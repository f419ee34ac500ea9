"""The shards stage without audio: plan, parts and what is written at the end, of recordings of 12 s in the mean.

Each recording is one utterance. A part writes its record, as it would for a tar, and no tar.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from benchmarks.scale import Row, Spent, cost_of, in_sizes
from benchmarks.scale.rows import PER_SPEAKER, RATE_HZ, fake_lengths, fake_sha256s, name_numbers, steps

SIZE = 1_000_000
KNOWN = {"MB": ("1,761 MB", "<= 250 MB"), "CPU s": ("", "")}


def measure(size: int | None = None) -> list[Row]:
    """Peak memory and CPU time of the process that plans and lists."""
    return in_sizes("shards listing", measure_once, size or SIZE, KNOWN)


def measure_once(size: int) -> Spent:
    """What `build_shards` costs for so many recordings. The fake parts are made by other processes, and not counted."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        cost_of(write_fake_manifest, folder, size)
        cost_of(build, folder, "make")
        return cost_of(build, folder, "list")


def write_fake_manifest(folder: Path, size: int) -> None:
    """The manifest of a corpus of so many recordings, 500 per speaker, a hundredth of them valid."""
    from wavlm.corpus.manifest import FORMAT, MANIFEST, SCHEMA
    from wavlm.storage.parquet import open_parquet

    metadata = {"format": FORMAT, "corpus": "fake", "split_rule": "speakers", "split_below": "0.01"}
    schema = SCHEMA.with_metadata({**metadata, "recordings": str(size)})
    with open_parquet(folder / MANIFEST, schema) as add:
        for numbers in steps(size):
            add(_manifest_rows(numbers, schema))


def _manifest_rows(numbers: np.ndarray, schema: pa.Schema) -> pa.Table:
    speakers = numbers // PER_SPEAKER
    columns = {
        "key": name_numbers("utterance-", numbers),
        "path": name_numbers("audio/part-one/speaker/book/", numbers, ".flac"),
        "speaker": name_numbers("speaker-", speakers),
        "split": pa.array(np.where(speakers % 100 == 99, "valid", "train")),
        "size_bytes": pa.array(fake_lengths(numbers)),
        "sha256": fake_sha256s(numbers),
        "sample_rate_hz": pa.array(np.full(len(numbers), RATE_HZ, np.int32)),
        "num_samples": pa.array(fake_lengths(numbers)),
        "generation": pa.array(np.ones(len(numbers), np.int32)),
    }
    missing = {field.name: pa.nulls(len(numbers), field.type) for field in schema if field.name not in columns}
    return pa.table({field.name: (columns | missing)[field.name] for field in schema}, schema=schema)


def build(folder: Path, action: str) -> int:
    """Run the stage. `make`: its parts write records; `list`: they have written them, and are read."""
    import wavlm.shards.build as stage
    from wavlm.execution.progress import no_progress
    from wavlm.shards.record import read_record, record_path
    from wavlm.specs import ShardSpec

    def read_part(part: object, **_: object) -> object:
        return read_record(record_path(folder / "out", part.stem))  # type: ignore[attr-defined]

    stage.build_part = make_part if action == "make" else read_part  # type: ignore[assignment, attr-defined]
    spec = ShardSpec(min_seconds=1.0, max_seconds=30.0)
    return stage.build_shards(spec, folder, folder / "out", 1, no_progress).utterances


def make_part(part, out, **_):  # type: ignore[no-untyped-def]
    """Write the record of a part as if its tar had been made."""
    from dataclasses import replace

    from wavlm.shards.account import Account
    from wavlm.shards.record import PackedUtterance, PieceOrigin, describe_part, record_path, write_record

    packed, at = [], 0
    for row in part.read_rows():
        size = row.num_samples
        origin = PieceOrigin(int(row.sha256[:16], 16), 0, 0, row.num_samples)
        packed.append(
            PackedUtterance(
                row.key, at, size, row.num_samples, 0, row.speaker, row.split, row.sha256, (row.key,), "", (origin,)
            )
        )
        at += size
    samples = sum(item.samples for item in packed)
    account = Account(samples=samples, samples_used=samples)
    record = replace(describe_part(part.stem, packed, (), account), inputs="0" * 64, sha256="0" * 64, size_bytes=at)
    write_record(record_path(out, part.stem), record, packed, (), ())
    return record
