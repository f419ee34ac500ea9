"""Evaluate a model on one task: features of a labelled corpus, the search for a head, one look at its test part."""

from __future__ import annotations

from pathlib import Path

from tasks.orchestration.stage import make_stage, stage_task
from wavlm.evaluation.results.facts import EvaluationFacts
from wavlm.execution.progress import Progress
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Evaluation
from wavlm.pipeline.store import FEATURES, Store


@stage_task
def evaluation(artifact: Evaluation, store: Store, runtime: Runtime) -> Path:
    """The folder of the results."""

    def build(out: Path, progress: Progress) -> EvaluationFacts:
        from wavlm.evaluation.features.cache import plan_features, remove_unused
        from wavlm.evaluation.run import run_evaluation
        from wavlm.pipeline.evaluations import find_inputs

        cache = store.root / FEATURES
        inputs = find_inputs(artifact, store)
        is_elsewhere = bool(runtime.cluster)
        plan = plan_features(inputs.subject, runtime.workers, runtime.gpus, is_elsewhere=is_elsewhere)
        facts = run_evaluation(artifact.spec, inputs, cache, out, plan, progress)
        remove_unused(cache, 1e9 * runtime.features_gigabytes)
        return facts

    return make_stage(artifact, store, runtime, build)
