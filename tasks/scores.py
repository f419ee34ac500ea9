"""Score a model: fast metrics of each layer, beside MFCC on the same frames."""

from __future__ import annotations

from pathlib import Path

from tasks.orchestration.stage import make_stage, stage_task
from wavlm.evaluation.facts import ScoresFacts
from wavlm.execution.progress import Progress
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Scores
from wavlm.pipeline.results import shards_with_phones
from wavlm.pipeline.store import Store


@stage_task
def scores(artifact: Scores, store: Store, runtime: Runtime) -> Path:
    """The folder of the scores, their tables and their plot."""

    def build(out: Path, progress: Progress) -> ScoresFacts:
        from wavlm.evaluation.scores import build_scores

        corpora = {item.corpus.name: store.path(item) for item in artifact.shards}
        with_phones = [item.corpus.name for item in shards_with_phones(artifact.shards, store)]
        return build_scores(artifact.spec, store.path(artifact.model), corpora, with_phones, out, progress)

    return make_stage(artifact, store, runtime, build)
