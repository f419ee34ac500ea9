"""Score a model: label quality of each layer, beside MFCC on the same frames."""

from __future__ import annotations

from pathlib import Path

from tasks.orchestration.stage import make_stage, stage_task
from wavlm.corpus.facts import CorpusFacts
from wavlm.evaluation.facts import ScoresFacts
from wavlm.execution.progress import Progress
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Scores, Shards
from wavlm.pipeline.store import Store


@stage_task
def scores(artifact: Scores, store: Store, runtime: Runtime) -> Path:
    """The folder of the scores and their plot."""

    def build(out: Path, progress: Progress) -> ScoresFacts:
        from wavlm.evaluation.scores import build_scores

        folders = [store.path(item) for item in artifact.shards if _may_have_phones(item, store)]
        return build_scores(artifact.spec, store.path(artifact.model), folders, out, progress)

    return make_stage(artifact, store, runtime, build)


def _may_have_phones(shards: Shards, store: Store) -> bool:
    """False if the corpus says that it has no timed phone: then nobody need read all of its shards to find none."""
    return not store.is_complete(shards.corpus) or store.facts(shards.corpus, CorpusFacts).with_phones > 0
