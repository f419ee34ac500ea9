"""Score a model: label quality of each layer, beside MFCC on the same frames."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.orchestration.progress_bar import show_progress
from wavlm.corpus.facts import CorpusFacts
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Scores, Shards
from wavlm.pipeline.store import Store


@task(cache_policy=NO_CACHE, task_run_name="{artifact}")
def scores(artifact: Scores, store: Store, runtime: Runtime) -> Path:  # noqa: ARG001 - one shape
    """The folder of the scores and their plot."""
    from wavlm.evaluation.scores import build_scores

    folders = [store.path(item) for item in artifact.shards if _may_have_phones(item, store)]
    with show_progress(f"scores {artifact.name}") as (progress, _):
        return store.make(
            artifact,
            lambda out: build_scores(artifact.spec, store.path(artifact.model), folders, out, progress),
        )


def _may_have_phones(shards: Shards, store: Store) -> bool:
    """False if the corpus says that it has no timed phone: then nobody need read all of its shards to find none."""
    return not store.is_complete(shards.corpus) or store.facts(shards.corpus, CorpusFacts).with_phones > 0
