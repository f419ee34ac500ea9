"""Promise: stopped and gone on with at any update, by other numbers of ranks and workers, nothing repeats or is missed.

Injection: a training's stream of batches is cut at random updates; each stretch has its own number of ranks (1 or 2)
and of loading processes (0 to 2). The point is the seed.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sys
from collections import Counter
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path

import numpy as np

from tests.faults.catalogue import Row
from tests.faults.scene import Scene
from tests.faults.trial import promise, run_forked, run_teaching
from tests.staircases import job_of, write_corpus
from tests.tiny_specs import tiny_training
from wavlm.execution.job import TrainJob
from wavlm.execution.runtime import Runtime
from wavlm.loader.epochs import SamplerState
from wavlm.loader.loader import loader

UPDATES, UTTERANCES = 24, 30
BATCH, GROUP = 6.0, 3.0  # seconds: two micro-batches an update
Delivered = tuple[str, ...]  # of an update: each micro-batch's position, keys and digest


def count(scene: Scene, row: Row) -> int:
    """Any number: each seed cuts elsewhere."""
    return 0


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Cut, go on, compare with one rank that is never stopped, and count an epoch."""
    folder = _prepare(scene.folder)
    done = run_forked(partial(_work, folder, point), scene.folder / "log")
    promise(done.code == 0, f"ended with {done.code}: {done.said[-800:]}")
    return 1, done.last_line


@lru_cache(1)
def _prepare(scene_folder: Path) -> Path:
    """A corpus, and beside it what one rank that is never stopped gets of it."""
    folder = scene_folder / "resume"
    shutil.rmtree(folder, ignore_errors=True)
    run_teaching(partial(_write, folder), scene_folder / "log", "stream")
    return folder


def _write(folder: Path) -> None:
    write_corpus(folder, "speech", UTTERANCES)
    job = _job(folder, 0)
    _check_epochs(job)
    unbroken, _ = _deliver(job, SamplerState(), UPDATES, 1)
    (folder / "unbroken.json").write_text(json.dumps(unbroken))


def _work(folder: Path, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - to be repeated
    unbroken = [tuple(item) for item in json.loads((folder / "unbroken.json").read_text())]
    found: list[Delivered] = []
    position, ways = SamplerState(), []
    while len(found) < UPDATES:
        updates = min(rng.randint(1, 9), UPDATES - len(found))
        world, workers = rng.choice((1, 2)), rng.choice((0, 1, 2))
        got, position = _deliver(_job(folder, workers), position, updates, world)
        found += got
        ways.append(f"{updates} updates, {world} ranks, {workers} workers")
    assert found == unbroken, f"another order: {ways}"
    sys.stdout.write(" | ".join(ways))


def _check_epochs(job: TrainJob) -> None:
    """Every whole epoch has each utterance that is trained on once: by the names of the corpus, not by the sampler."""
    expected = {f"speech-{number:03d}" for number in range(6, UTTERANCES + 6)}
    keys: dict[int, Counter[str]] = {}
    for batch in islice(loader(job, SamplerState()), 2 * UPDATES):
        keys.setdefault(batch.position.epoch, Counter()).update(batch.keys)
    whole = sorted(keys)[:-1]
    assert whole
    for epoch in whole:
        assert set(keys[epoch]) == expected
        assert set(keys[epoch].values()) == {1}


def _job(folder: Path, workers: int) -> TrainJob:
    from wavlm.execution.job import LabelledShards

    data = LabelledShards(shards=folder / "speech/shards", labels=folder / "speech/labels")
    train = tiny_training(max_crop_seconds=2.5, batch_seconds=BATCH, group_seconds=GROUP)
    return job_of((data,), folder, train=train, runtime=Runtime(workers=workers))


def _deliver(job: TrainJob, position: SamplerState, updates: int, world: int) -> tuple[list[Delivered], SamplerState]:
    """What all ranks get in so many updates, and where the next one begins."""
    share = job.train.micro_batches_per_update // world
    found: list[list[str]] = [[] for _ in range(updates)]
    after = position
    for rank in range(world):
        for number, batch in enumerate(islice(loader(job, position, rank, world), updates * share)):
            pcm = np.ascontiguousarray(batch.audio.pcm.numpy()).tobytes() + batch.labels.numpy().tobytes()
            what = f"{batch.position} {batch.keys} {hashlib.sha256(pcm).hexdigest()}"
            found[number // share].append(what)
            after = batch.after
    return [tuple(sorted(item)) for item in found], after
