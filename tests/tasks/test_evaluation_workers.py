"""Evaluations side by side, each in its worker, give the bytes that one gives alone in this process."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.evaluation import EvaluationJob, evaluate
from tests.flows.tones import write_tones
from tests.pipeline.test_heard import make_shards
from tests.tiny_specs import tiny_network
from wavlm.execution.progress import no_progress
from wavlm.execution.runtime import Runtime
from wavlm.execution.worker import Workers
from wavlm.pipeline.artifacts import Evaluation
from wavlm.pipeline.store import Store
from wavlm.specs.evaluation import RandomBaseline
from wavlm.specs.heads import PooledLinearHead
from wavlm.specs.yaml import find_suite


@pytest.mark.slow
def test_side_by_side_means_the_same_bytes_as_alone(tmp_path: Path) -> None:
    suite, store = write_tones(tmp_path, {"ks": "tones"}), Store(tmp_path / "store")
    shards = make_shards(tmp_path / "corpora/tones.yaml", store)
    spec = find_suite(suite).evaluations[0]
    assert isinstance(spec.head, PooledLinearHead)
    random = RandomBaseline(type="random", network=tiny_network())
    alone = Evaluation(spec, random, (shards,))
    fit = spec.fit.model_copy(update={"seeds": (1,)}) if spec.fit else None
    other = dataclasses.replace(alone, spec=spec.model_copy(update={"fit": fit}))

    def job(artifact: Evaluation, name: str) -> EvaluationJob:
        (tmp_path / name).mkdir()
        return EvaluationJob(artifact, store, Runtime(workers=1), tmp_path / name)

    evaluate(job(alone, "alone"), no_progress)
    workers = Workers()
    two = workers.take(), workers.take()
    jobs = job(alone, "beside"), job(other, "other")
    try:
        with ThreadPoolExecutor(2) as threads:
            done = threads.map(lambda one: one[0].do(evaluate, one[1], no_progress), zip(two, jobs, strict=True))
            facts = list(done)
    finally:
        workers.end()
    assert facts[0].figures != facts[1].figures or facts[0].layers != facts[1].layers  # the seeds differ
    names = sorted(path.relative_to(tmp_path / "alone") for path in (tmp_path / "alone").rglob("*") if path.is_file())
    assert Path("results.json") in names
    for name in names:
        assert (tmp_path / "beside" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes(), name
