"""Evaluate a model on one task: features of a labelled corpus, the search for a head, one look at its test part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tasks.orchestration.stage import make_stage, stage_task
from wavlm.evaluation.results.facts import EvaluationFacts
from wavlm.execution.progress import Progress
from wavlm.execution.runtime import Runtime
from wavlm.execution.worker import worker_of_stage
from wavlm.pipeline.artifacts import Evaluation
from wavlm.pipeline.store import FEATURES, Store


@stage_task
def evaluation(artifact: Evaluation, store: Store, runtime: Runtime) -> Path:
    """The folder of the results. Made by a worker, if the flow has given this stage one."""

    def build(out: Path, progress: Progress) -> EvaluationFacts:
        worker = worker_of_stage.get()
        if worker is None:
            return evaluate(EvaluationJob(artifact, store, runtime, out), progress)
        gpu = worker.number if runtime.gpus else None
        return worker.do(evaluate, EvaluationJob(artifact, store, runtime, out, gpu), progress)

    return make_stage(artifact, store, runtime, build)


@dataclass(frozen=True)
class EvaluationJob:
    """What a process needs to evaluate."""

    artifact: Evaluation
    store: Store
    runtime: Runtime
    out: Path
    gpu: int | None = None  # which one is its own, of several that evaluate side by side

    def __str__(self) -> str:
        return str(self.artifact)


def evaluate(job: EvaluationJob, progress: Progress) -> EvaluationFacts:
    """Fill the folder `out`."""
    from wavlm.evaluation.features.cache import plan_features, remove_unused
    from wavlm.evaluation.features.part import take_gpu
    from wavlm.evaluation.run import run_evaluation
    from wavlm.pipeline.evaluations import find_inputs

    if job.gpu is not None:
        take_gpu(job.gpu)
    runtime, cache = job.runtime, job.store.root / FEATURES
    inputs = find_inputs(job.artifact, job.store)
    is_elsewhere = bool(runtime.cluster)
    plan = plan_features(inputs.subject, runtime.workers, runtime.gpus, is_elsewhere=is_elsewhere)
    facts = run_evaluation(job.artifact.spec, inputs, cache, job.out, plan, progress)
    remove_unused(cache, 1e9 * runtime.features_gigabytes)
    return facts
