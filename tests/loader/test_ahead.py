"""Training through the cache of a mirror: the same batches, and the next window before its turn."""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path

import pytest
import torch

from tests.sealed import seal
from tests.staircases import digest, job_of, write_corpus
from tests.waiting import wait_until
from wavlm.errors import BadDataError
from wavlm.execution.job import LabelledShards, TrainJob
from wavlm.execution.runtime import Runtime
from wavlm.loader.epochs import SamplerState
from wavlm.loader.loader import loader, make_sampler
from wavlm.storage.cache import object_key
from wavlm.storage.elsewhere import Elsewhere, write_elsewhere
from wavlm.storage.files import sha256_of
from wavlm.storage.pieces import hash_in_pieces, write_pieces
from wavlm.storage.seals import PIECES_FILE

ROOMY = 1 << 30


def push_tars(shards: Path, tmp_path: Path, cache_bytes: int) -> set[str]:
    """Move the tars of a sealed folder into a mirror; returns the digests of those to train on."""
    seal(shards)
    tars = sorted(shards.glob("*.tar"))
    write_pieces(shards / PIECES_FILE, {tar.name: hash_in_pieces(tar) for tar in tars})
    found = {}
    for tar in tars:
        found[tar.name] = sha256_of(tar)
        target = tmp_path / "mirror" / object_key(found[tar.name])
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(tar, target)
    where = Elsewhere(mirror=f"file://{tmp_path}/mirror", cache=str(tmp_path / "cache"), cache_bytes=cache_bytes)
    write_elsewhere(shards, where)
    return {digest for name, digest in found.items() if not name.startswith("valid")}


@pytest.fixture(params=[0, 3])
def job(request: pytest.FixtureRequest, tmp_path: Path) -> TrainJob:
    """A job without windows, and one with windows of three shards."""
    data: tuple[LabelledShards, ...] = (write_corpus(tmp_path, "first", 90), write_corpus(tmp_path, "second", 30))
    found = job_of(data, tmp_path / "out")
    return found.model_copy(update={"train": found.train.model_copy(update={"window_shards": request.param})})


def take(job: TrainJob, count: int) -> list[str]:
    return [digest(packed.to(torch.device("cpu"))) for packed in islice(loader(job, SamplerState()), count)]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_from_a_mirror(job: TrainJob, tmp_path: Path, workers: int) -> None:
    count = make_sampler(job).epoch(0).num_micro_batches + 4
    expected = take(job, count)
    tars = [tar for item in job.data for tar in item.shards.glob("*.tar")]
    bound = 4 * max(tar.stat().st_size for tar in tars)
    for item in job.data:
        push_tars(item.shards, tmp_path, bound)
    assert take(job.model_copy(update={"runtime": Runtime(workers=workers)}), count) == expected
    assert sum(path.stat().st_size for path in (tmp_path / "cache").glob("?" * 64)) <= bound


@pytest.mark.parametrize("job", [0], indirect=True)
def test_without_windows_all_tars_are_fetched_ahead(job: TrainJob, tmp_path: Path) -> None:
    digests = set().union(*(push_tars(item.shards, tmp_path, ROOMY) for item in job.data))
    batches = loader(job, SamplerState())
    for _ in range(2 * job.train.micro_batches_per_update):  # from the second update on
        next(batches)
    wait_until(lambda: digests == {path.name for path in (tmp_path / "cache").glob("?" * 64)})


@pytest.mark.parametrize("job", [3], indirect=True)
def test_of_a_window_that_is_not_copied_yet_no_tar_is_fetched(job: TrainJob, tmp_path: Path) -> None:
    for item in job.data:
        push_tars(item.shards, tmp_path, ROOMY)
    take(job, 1)
    assert not list((tmp_path / "cache").glob("?" * 64))


def test_a_tar_that_the_mirror_lost_is_named_with_its_utterance(job: TrainJob, tmp_path: Path) -> None:
    for item in job.data:
        push_tars(item.shards, tmp_path, ROOMY)
    shutil.rmtree(tmp_path / "mirror" / "objects")
    with pytest.raises(BadDataError, match=r"MIRROR_LACKS.*at utterance .*\.tar"):
        take(job, 1)


@pytest.mark.parametrize("job", [3], indirect=True)
def test_a_part_of_a_tar_that_was_changed_is_not_used(job: TrainJob, tmp_path: Path) -> None:
    for item in job.data:
        push_tars(item.shards, tmp_path, ROOMY)
    for path in (tmp_path / "mirror" / "objects").glob("*/*"):
        blob = bytearray(path.read_bytes())
        blob[len(blob) // 2] ^= 1
        path.write_bytes(blob)
    with pytest.raises(BadDataError, match=r"MIRROR_DAMAGED.*2 MiB from 0 on"):
        take(job, 1)
