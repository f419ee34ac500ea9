"""People reported: one ESTALE of a file server ended a week's training as bad data (65), on all ranks.

A read that fails in passing is tried again with a file that is opened anew; after a minute it ends with 75.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.mini_shards import tones, write_shards
from tests.staircases import digest, job_of, write_corpus
from wavlm.corpus.manifest import read_manifest
from wavlm.errors import BadDataError, NoResourcesError, ReadLostError
from wavlm.execution.job import TrainJob
from wavlm.execution.runtime import Runtime
from wavlm.labels.files import read_labels
from wavlm.loader.epochs import SamplerState
from wavlm.loader.loader import loader
from wavlm.loader.samples import TrainingSamples
from wavlm.mixing.truth import read_truth
from wavlm.shards import Reader, read_columns, read_index, read_listing, stream, streaming
from wavlm.shards.index import stream_split
from wavlm.shards.rejects import read_rejects
from wavlm.storage import passing, seals
from wavlm.storage.seals import read_fields

PASSING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, without waiting for them: the clock goes on by itself."""
    made = list[float]()
    monkeypatch.setattr(passing, "time", SimpleNamespace(sleep=made.append, monotonic=lambda: sum(made)))
    return made


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return write_shards(tmp_path / "shards", tones(3))


def fail(number: int, times: float) -> Callable[..., bytes]:
    """`os.pread` that fails so many times."""
    left, whole = [times], os.pread

    def read(*arguments: Any) -> bytes:
        if left[0] > 0:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        return whole(*arguments)

    return read


def note_opens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are opened from now on."""
    opened, whole = list[str](), os.open

    def opening(path: Any, *rest: Any, **more: Any) -> int:
        opened.append(Path(path).name)
        return whole(path, *rest, **more)

    monkeypatch.setattr(os, "open", opening)
    return opened


@pytest.mark.parametrize("number", PASSING)
def test_a_read_that_fails_in_passing_is_read_again(
    shards: Path, monkeypatch: pytest.MonkeyPatch, number: int, pauses: list[float]
) -> None:
    expected = Reader(shards).read(1)
    monkeypatch.setattr(os, "pread", fail(number, 3))
    opened = note_opens(monkeypatch)
    assert Reader(shards).read(1).tolist() == expected.tolist()
    assert pauses == [0.5, 1.0, 2.0]
    assert opened.count("train-000000.tar") == 4  # after ESTALE a descriptor never works again


@pytest.mark.parametrize("number", PASSING)
def test_a_disk_that_is_away_for_a_minute_ends_with_75(
    shards: Path, monkeypatch: pytest.MonkeyPatch, number: int, pauses: list[float]
) -> None:
    monkeypatch.setattr(os, "pread", fail(number, float("inf")))
    name = errno.errorcode[number]
    with pytest.raises(ReadLostError, match=rf"READ_LOST: .*{name}.*; at .*tar; .*run the same") as raised:
        Reader(shards).read(0)
    assert raised.value.exit_code == 75
    assert raised.value.is_transient
    assert sum(pauses) == pytest.approx(60.0)


def test_a_folder_that_is_not_mounted_is_waited_for_and_a_tar_that_is_not_there_is_not(
    shards: Path, pauses: list[float]
) -> None:
    reader = Reader(shards)
    assert len(reader.index)
    hidden = shards.rename(shards.with_name("elsewhere"))
    with pytest.raises(ReadLostError, match="ESTALE"):
        reader.read(0)
    assert pauses
    pauses.clear()
    hidden.rename(shards)
    (shards / "train-000000.tar").unlink()
    with pytest.raises(BadDataError, match="SHARD_MISSING"):
        reader.read(0)
    assert not pauses


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM])
def test_what_does_not_pass_by_itself_is_said_at_once(
    shards: Path, monkeypatch: pytest.MonkeyPatch, number: int, pauses: list[float]
) -> None:
    monkeypatch.setattr(os, "pread", fail(number, 1))
    with pytest.raises(OSError, match=os.strerror(number)):
        Reader(shards).read(0)
    assert not pauses


def lose(*_: Any, **__: Any) -> None:
    raise OSError(errno.ESTALE, "Stale file handle")


# How each file is read, and what then fails. "Make it again" would cost days, and help nothing.
READS: dict[str, tuple[Callable[[Path], object], list[tuple[object, str]]]] = {
    "index": (read_index, [(pq, "read_schema")]),
    "columns of the index": (lambda folder: read_columns(folder, ["key"]), [(pq, "read_table")]),
    "rows of the index": (lambda folder: list(stream_split(folder, ["key"], "train")), [(pq, "ParquetFile")]),
    "listing": (read_listing, [(Path, "read_bytes")]),
    "labels": (lambda folder: read_labels(folder, "train-000000.tar"), [(pq, "read_table")]),
    "truth": (read_truth, [(Path, "open")]),
    "rejects": (read_rejects, [(pq, "read_table"), (pq, "ParquetFile")]),
    "manifest": (lambda folder: list(read_manifest(folder)), [(pq, "read_table"), (pq, "ParquetFile")]),
    "record": (read_fields, [(seals, "read_remembered")]),
    "tar": (lambda folder: list(stream(folder / "train-000000.tar")), [(streaming._HashingReader, "read")]),
}


@pytest.mark.parametrize("name", READS)
def test_what_cannot_be_read_now_is_not_called_damaged(
    shards: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    read, targets = READS[name]
    (shards / "train-000000.parquet").touch()
    for owner, target in targets:
        monkeypatch.setattr(owner, target, lose)
    with pytest.raises(ReadLostError, match=r"READ_LOST: .*ESTALE.*; at .*; .*run the same command again"):
        read(shards)


def exhaust(*_: Any, **__: Any) -> None:
    raise OSError(errno.EMFILE, "Too many open files")


@pytest.mark.parametrize("name", READS)
def test_what_the_machine_has_nothing_left_for_is_not_called_damaged(
    shards: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    read, targets = READS[name]
    (shards / "train-000000.parquet").touch()
    for owner, target in targets:
        monkeypatch.setattr(owner, target, exhaust)
    with pytest.raises(NoResourcesError, match=r"NO_RESOURCES: too many open files; at .*; .*free memory or raise"):
        read(shards)


def without_memory(*_: Any, **__: Any) -> None:
    raise pa.ArrowMemoryError("malloc of size 1048576 failed")


def without_module(*_: Any, **__: Any) -> None:
    """As pyarrow says it of a part of itself that there is no memory to load."""
    error = ValueError("the 'filters' keyword is not supported when the pyarrow.dataset module is not available")
    error.__context__ = ImportError("_dataset.so: failed to map segment from shared object")
    raise error


@pytest.mark.parametrize("how", [without_memory, without_module])
@pytest.mark.parametrize("name", ["columns of the index", "rows of the index", "labels", "manifest"])
def test_a_table_that_no_memory_is_left_for_is_not_called_damaged(
    shards: Path, monkeypatch: pytest.MonkeyPatch, name: str, how: Callable[..., None]
) -> None:
    read, targets = READS[name]
    (shards / "train-000000.parquet").touch()
    for owner, target in targets:
        monkeypatch.setattr(owner, target, how)
    with pytest.raises(NoResourcesError, match=r"NO_RESOURCES: .*; at .*; .*free memory") as raised:
        read(shards)
    assert raised.value.exit_code == 71


@pytest.fixture
def job(tmp_path: Path) -> TrainJob:
    return job_of((write_corpus(tmp_path, "first", 20),), tmp_path)


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_are_the_same_after_a_failure_and_the_error_of_a_worker_keeps_its_code(
    job: TrainJob, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    made = job.model_copy(update={"runtime": Runtime(workers=workers)})
    expected = [digest(batch) for batch in take(job)]
    monkeypatch.setattr(os, "pread", fail(errno.EIO, 4))
    assert [digest(batch) for batch in take(made)] == expected
    monkeypatch.setattr(os, "pread", fail(errno.ESTALE, float("inf")))
    with pytest.raises(ReadLostError, match="READ_LOST"):
        take(made)


def take(job: TrainJob) -> list[Any]:
    return [packed.to("cpu") for packed in islice(loader(job, SamplerState()), 6)]


def test_labels_are_read_as_patiently_as_audio(job: TrainJob, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = TrainingSamples(job).utterances
    expected = samples.labels(TrainingSamples(job).sampler().epoch(0).utterances[:2], [0, 0], 20).tolist()
    numbers = TrainingSamples(job).sampler().epoch(0).utterances[:2]
    monkeypatch.setattr(os, "pread", fail(errno.ETIMEDOUT, 2))
    assert TrainingSamples(job).utterances.labels(numbers, [0, 0], 20).tolist() == expected
