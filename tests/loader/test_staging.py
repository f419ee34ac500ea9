"""Windows on a scratch disk: read in sequence, checked, and never needed for a right result."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import pytest

from tests.staircases import digest, job_of, write_corpus
from tests.tiny_specs import tiny_training
from tests.waiting import wait_until
from wavlm.execution.job import TrainJob
from wavlm.execution.runtime import Runtime
from wavlm.loader import staging
from wavlm.loader.epochs import SamplerState
from wavlm.loader.loader import loader
from wavlm.loader.samples import TrainingSamples
from wavlm.loader.staging import StagedWindows, Stager, TarSegment
from wavlm.loader.utterances import cache_of
from wavlm.storage.pieces import PIECE_BYTES

TARS = {number: bytes([number]) * 500 + bytes(range(200)) * 3 for number in range(6)}
BEGIN, SIZE = 400, 600  # of the segment of each


def describe(store: Path) -> Callable[[Sequence[int]], list[TarSegment]]:
    store.mkdir()
    for number, blob in TARS.items():
        (store / f"{number}.tar").write_bytes(blob)
    return lambda numbers: [TarSegment(number, store / f"{number}.tar", BEGIN, SIZE) for number in numbers]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "LOOK_SECONDS", 0.0)


def test_a_window_is_read_from_its_copy_and_one_that_is_behind_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    stager, staged = Stager(folder, describe(tmp_path / "store")), StagedWindows(folder)
    assert staged.read(0, 0, 10) is None
    for number in range(5):
        stager.need([(f"0-{number}", [number]), (f"0-{number + 1}", [number + 1])])
        wait_until(lambda number=number: (folder / f"0-{number + 1}.npy").exists())  # type: ignore[misc]
        assert staged.read(number, 495, 37) == TARS[number][495:532]
    stager.close()
    assert sorted(path.name for path in folder.glob("*.tars")) == ["0-3.tars", "0-4.tars", "0-5.tars"]
    assert staged.read(4, 990, 7) == TARS[4][990:997]
    assert StagedWindows(folder).read(0, 0, 10) is None  # forgotten: the store has it
    assert staged.read(5, 998, 10) is None  # behind its end


def test_what_an_earlier_attempt_left_is_used_or_removed(tmp_path: Path) -> None:
    folder, known = tmp_path / "scratch", describe(tmp_path / "store")
    stager = Stager(folder, known)
    stager.need([("0-0", [0]), ("0-1", [1])])
    wait_until((folder / "0-1.npy").exists)
    stager.close()
    before = (folder / "0-1.tars").stat().st_ino
    again = Stager(folder, known)
    again.need([("0-1", [1]), ("0-2", [2])])
    wait_until((folder / "0-2.npy").exists)
    again.close()
    assert sorted(path.name for path in folder.glob("*.tars")) == ["0-1.tars", "0-2.tars"]
    assert (folder / "0-1.tars").stat().st_ino == before


def test_no_room_and_no_store_are_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, known = tmp_path / "scratch", describe(tmp_path / "store")
    (tmp_path / "store" / "1.tar").unlink()
    stager = Stager(folder, known)
    stager.need([("0-0", [0, 1]), ("0-1", [2])])
    wait_until((folder / "0-1.npy").exists)
    monkeypatch.setattr(staging, "FREE_SHARE", 0.0)
    stager.need([("0-2", [3])])
    stager.close()
    assert sorted(path.name for path in folder.iterdir()) == ["0-1.npy", "0-1.tars"]


@pytest.fixture
def job(tmp_path: Path) -> TrainJob:
    data = (write_corpus(tmp_path, "first", 60), write_corpus(tmp_path, "second", 20))
    train = tiny_training(max_crop_seconds=2.5, window_shards=3)
    return job_of(data, tmp_path / "out", train=train)


def test_batches_from_copies_are_those_from_the_store_and_open_no_tar(
    job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [digest(batch.to("cpu")) for batch in islice(loader(job, SamplerState()), 4 * 12)]
    scratch = job.model_copy(update={"runtime": Runtime(workers=0, scratch=str(tmp_path / "scratch"))})
    samples = TrainingSamples(scratch)
    epoch, folder = samples.sampler().epoch(0), cache_of(scratch) / "windows"
    stager = Stager(folder, samples.utterances.describe_segments)
    stager.need([(f"0-{number}", segments.tolist()) for number, segments in enumerate(epoch.segments)])  # type: ignore[union-attr]
    wait_until(lambda: len(list(folder.glob("*.npy"))) == len(epoch.segments))  # type: ignore[union-attr]
    opened, whole = list[str](), os.open

    def opening(path: str | Path, *rest: int, **more: int) -> int:
        opened.append(str(path))
        return whole(path, *rest, **more)

    monkeypatch.setattr(os, "open", opening)
    batches = list(islice(loader(scratch, SamplerState(), stages=False), 4 * 12))
    first = [digest(item.to("cpu")) for item in batches if item.position.epoch == 0]
    assert first == expected[: len(first)]
    assert len(first) > 20
    tars = [name for name in opened if name.endswith(".tar")]
    assert not tars
    assert sum(name.endswith(".tars") for name in opened) == len(epoch.segments)  # type: ignore[union-attr]


def test_a_training_copies_its_windows_itself_and_has_the_same_batches(job: TrainJob, tmp_path: Path) -> None:
    expected = [digest(batch.to("cpu")) for batch in islice(loader(job, SamplerState()), 4 * 12)]
    scratch = job.model_copy(update={"runtime": Runtime(workers=1, scratch=str(tmp_path / "scratch"))})
    assert [digest(batch.to("cpu")) for batch in islice(loader(scratch, SamplerState()), 4 * 12)] == expected
    assert list((cache_of(scratch) / "windows").glob("*.tars"))


def test_a_copy_that_decays_is_read_from_the_store(job: TrainJob, tmp_path: Path) -> None:
    expected = [digest(batch.to("cpu")) for batch in islice(loader(job, SamplerState()), 8)]
    scratch = job.model_copy(update={"runtime": Runtime(workers=0, scratch=str(tmp_path / "scratch"))})
    samples = TrainingSamples(scratch)
    shards, folder = samples.sampler().epoch(0).segments[0].tolist(), cache_of(scratch) / "windows"  # type: ignore[union-attr]
    stager = Stager(folder, samples.utterances.describe_segments)
    stager.need([("0-0", shards)])
    wait_until((folder / "0-0.npy").exists)
    path = folder / "0-0.tars"
    path.write_bytes(bytes(path.stat().st_size))
    assert [digest(item.to("cpu")) for item in islice(loader(scratch, SamplerState(), stages=False), 8)] == expected


@pytest.mark.parametrize("begin", [0, 1, 3 * PIECE_BYTES - 1, 4 * PIECE_BYTES, 5 * PIECE_BYTES + 7])
@pytest.mark.parametrize("size", [1, 7_990_000, 4 * PIECE_BYTES, 20_000_000])
def test_no_piece_of_a_mirror_is_fetched_twice_for_a_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: int, size: int
) -> None:
    pieces: list[int] = []

    def read_range(folder: Path, name: str, start: int, length: int) -> bytes:
        pieces.extend(range(start // PIECE_BYTES, (start + length - 1) // PIECE_BYTES + 1))
        return bytes(length)

    monkeypatch.setattr(staging, "read_range", read_range)
    stager = Stager(tmp_path / "scratch", lambda numbers: [TarSegment(0, tmp_path / "x.tar", begin, size)])
    stager.need([("0-0", [0])])
    wait_until((tmp_path / "scratch/0-0.npy").exists)
    stager.close()
    assert (tmp_path / "scratch/0-0.tars").stat().st_size == size
    assert pieces == list(range(begin // PIECE_BYTES, (begin + size - 1) // PIECE_BYTES + 1))
