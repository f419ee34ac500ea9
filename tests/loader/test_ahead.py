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

ROOMY = 1 << 30


def push_tars(shards: Path, tmp_path: Path, cache_bytes: int) -> list[str]:
    """Move the tars of a sealed folder into a mirror; returns their digests."""
    seal(shards)
    found = []
    for tar in sorted(shards.glob("*.tar")):
        found.append(sha256_of(tar))
        target = tmp_path / "mirror" / object_key(found[-1])
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(tar, target)
    where = Elsewhere(mirror=f"file://{tmp_path}/mirror", cache=str(tmp_path / "cache"), cache_bytes=cache_bytes)
    write_elsewhere(shards, where)
    return found


@pytest.fixture
def job(tmp_path: Path) -> TrainJob:
    data: tuple[LabelledShards, ...] = (write_corpus(tmp_path, "first", 90), write_corpus(tmp_path, "second", 30))
    found = job_of(data, tmp_path / "out")
    return found.model_copy(update={"train": found.train.model_copy(update={"window_shards": 3})})


def take(job: TrainJob, count: int) -> list[str]:
    return [digest(packed.to(torch.device("cpu"))) for packed in islice(loader(job, SamplerState()), count)]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_through_a_cache_of_any_size(job: TrainJob, tmp_path: Path, workers: int) -> None:
    count = make_sampler(job).epoch(0).num_micro_batches + 4
    expected = take(job, count)
    tars = [tar for item in job.data for tar in item.shards.glob("*.tar")]
    bound = 3 * max(tar.stat().st_size for tar in tars)
    for item in job.data:
        push_tars(item.shards, tmp_path, bound)
    assert take(job.model_copy(update={"runtime": Runtime(workers=workers)}), count) == expected
    held = [path for path in (tmp_path / "cache").iterdir() if len(path.name) == 64]
    assert 0 < sum(path.stat().st_size for path in held) <= bound


def test_the_next_window_is_fetched_before_it_is_read(job: TrainJob, tmp_path: Path) -> None:
    digests = [name for item in job.data for name in push_tars(item.shards, tmp_path, ROOMY)]
    epoch = make_sampler(job).epoch(0)
    windows = make_sampler(job).windows
    assert windows
    numbered = [digests[number] for number in range(len(digests))]
    near = {numbered[number] for window in windows.deal(0)[:2] for number in window.tolist()}
    batches = loader(job, SamplerState())
    for _ in range(2 * job.train.micro_batches_per_update):  # the second update lets the window be fetched
        next(batches)
    assert epoch.num_micro_batches > 2 * job.train.micro_batches_per_update
    wait_until(lambda: near <= {path.name for path in (tmp_path / "cache").iterdir()})


def test_a_tar_that_the_mirror_lost_is_named_with_its_utterance(job: TrainJob, tmp_path: Path) -> None:
    for item in job.data:
        push_tars(item.shards, tmp_path, ROOMY)
    shutil.rmtree(tmp_path / "mirror" / "objects")
    with pytest.raises(BadDataError, match=r"MIRROR_LACKS.*at utterance .*\.tar"):
        take(job, 1)
