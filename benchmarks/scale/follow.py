"""A later generation of a corpus: a hundredth of its recordings came, one was changed, one removed.

What is left out is what looks at files: the walk through the folder, hashing and headers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.scale import Row, cost_of
from benchmarks.scale.corpus import SPEC
from benchmarks.scale.rows import PER_SPEAKER, fake_sha256s, name_numbers, repeat

SIZE = 1_000_000
SHARE = 100  # one of so many recordings
PER_BATCH = 10_000  # recordings, each a file, as a listing has them


def measure(size: int | None = None) -> list[Row]:
    """Peak memory and CPU time of a generation, and of the list of generations that is written for it."""
    size = size or SIZE
    with TemporaryDirectory() as name:
        cost_of(write_first, Path(name), size)
        costs = {"one more generation": cost_of(follow, Path(name)), "its list": cost_of(write_generations, Path(name))}
    return [
        row
        for what, cost in costs.items()
        for row in (
            Row(f"{what}: peak memory", cost.peak_mb, "MB", size, "", "<= 300 MB"),
            Row(f"{what}: CPU time", cost.cpu_s, "CPU s", size),
        )
    ]


def batches(size: int, generation: int) -> Iterator[pa.RecordBatch]:
    """The recordings that a layout finds, batch by batch. In the second generation some came, were changed and left."""
    for start in range(0, size, PER_BATCH):
        numbers = np.arange(start, min(start + PER_BATCH, size))
        if generation == 1:
            yield _rows(numbers)
        else:
            yield _rows(numbers[numbers % SHARE != 1], changed=True)
    if generation > 1:
        yield from (_rows(numbers) for numbers in np.array_split(np.arange(size, size + size // SHARE), 1))


def _rows(numbers: np.ndarray, *, changed: bool = False) -> pa.RecordBatch:
    from wavlm.corpus.listing import SCHEMA

    count, speakers = len(numbers), name_numbers("speaker-", numbers // PER_SPEAKER)
    text = np.where((numbers % SHARE == 0) & changed, "other", "same")
    columns = {
        "key": name_numbers("utterance-", numbers),
        "path": name_numbers("part-one/speaker/book/", numbers, ".flac"),
        "speaker": speakers,
        "text": pa.array(text),
        "part": repeat("", count),
        "sha256": _digests(numbers),
        "size_bytes": pa.array(np.full(count, 200_000)),
        "rate_hz": pa.array(np.full(count, 16_000, np.int32)),
        "num_samples": pa.array(np.full(count, 192_000)),
    }
    nothing = {field.name: pa.nulls(count, field.type) for field in SCHEMA}
    return pa.record_batch([{**nothing, **columns}[name] for name in SCHEMA.names], schema=SCHEMA)


def _digests(numbers: np.ndarray) -> pa.Array:
    """A digest per number, whatever numbers are beside it."""
    first = int(numbers[0]) // PER_BATCH * PER_BATCH
    whole = fake_sha256s(np.arange(first, first + PER_BATCH))
    return whole.take(pa.array(numbers - first))


def write_first(folder: Path, size: int) -> None:
    """The tables of a first generation, and the listing of the second one."""
    from wavlm.corpus.growth.files import FileVersion, write_files
    from wavlm.corpus.growth.history import make_versions, open_history
    from wavlm.corpus.growth.match import Present
    from wavlm.corpus.growth.splits import VALID, name_splits
    from wavlm.corpus.listing import SCHEMA, recordings_of
    from wavlm.storage.batches import write_batches

    with open_history(folder, "speakers", 0.01) as add:
        for batch in batches(size, 1):
            digests = batch["sha256"].to_pylist()
            rows = [Present(*item).row for item in zip(recordings_of(batch), digests, strict=True)]
            count, ones = len(batch), pa.array(np.ones(len(batch), np.int32))
            speakers = np.array([int(name[-9:]) for name in batch["speaker"].to_pylist()])
            made = {
                "row": pa.array(rows),
                "split": name_splits(np.where(speakers % SHARE == 0, VALID, 0).astype(np.int8)),
                "sample_rate_hz": pa.array(np.full(count, 16_000, np.int32)),
                "generation": ones,
                "since": ones,
            }
            add(make_versions(batch, made))
    write_batches(folder / "listing", SCHEMA, batches(size, 2))
    write_files(
        folder,
        (
            FileVersion(path, 200_000, sha256, 1)
            for batch in batches(size, 1)
            for path, sha256 in zip(batch["path"].to_pylist(), batch["sha256"].to_pylist(), strict=True)
        ),
    )


def follow(folder: Path) -> int:
    """Make the second generation, with files that are made up."""
    import wavlm.corpus.measure as parts
    from wavlm.corpus.growth.history import HISTORY, read_history
    from wavlm.corpus.later import Measuring, follow_generation, write_later
    from wavlm.corpus.listing import RecordingList
    from wavlm.specs import CorpusSpec
    from wavlm.storage.parquet import lean_memory

    parts._read_file = _fake_file  # type: ignore[assignment] # noqa: SLF001 - what would open files
    spec = CorpusSpec.model_validate({**SPEC, "sources": ({"type": "folder", "path": str(folder)},)})
    out = folder / "second"
    out.mkdir()
    with lean_memory():
        history = read_history(folder / HISTORY)
        roots = parts.Roots(folder, None, PurePosixPath(), 0)
        measuring = Measuring(roots, out, 1, lambda *_: None)
        later = follow_generation(spec, history, 2, RecordingList(folder / "listing"), measuring)
        return write_later(spec, history, 2, later, RecordingList(folder / "listing"), out).found.recordings


def write_generations(folder: Path) -> int:
    """What the list of generations says about the first one, of which all tables are there."""
    from wavlm.corpus.growth.write import _describe
    from wavlm.specs import CorpusSpec
    from wavlm.storage.parquet import lean_memory

    source = {"type": "folder", "path": str(folder), "content": "0" * 64}
    with lean_memory():
        found = _describe(CorpusSpec.model_validate({**SPEC, "sources": (source,)}), folder)
    return found.generations[0].train.recordings


def _fake_file(name: PurePosixPath, known: Any, roots: Any, **_: object) -> Any:
    from wavlm.corpus.measure import _File

    return _File(str(roots.shown / name), 200_000, known.sha256, 16_000, 192_000)
