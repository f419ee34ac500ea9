"""The data of a recipe: its corpora, downloaded, checked and packed into shards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefect import flow

from flows.make import make, read_resolved
from flows.ready import check_ready
from tasks.orchestration.alive import answer_when_lost
from tasks.orchestration.events import tell_prepared
from tasks.orchestration.summary import publish
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Artifact
from wavlm.pipeline.plan import plan
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe

DEFAULT_RUNTIME = Runtime()


@flow(flow_run_name="prepare {recipe}")
@answer_when_lost
def prepare(recipe: str, store: str = "store", runtime: Runtime = DEFAULT_RUNTIME) -> Recipe:
    """Make the corpora and shards that the store does not hold yet; no training."""
    artifact_store = Store(Path(store))
    check_ready(recipe, artifact_store, runtime, _choose)
    recipe_spec = read_resolved(recipe, artifact_store)
    for artifact in _choose(plan(recipe_spec)):
        make(artifact, recipe_spec, artifact_store, runtime)
    publish(recipe_spec, artifact_store)
    tell_prepared(recipe_spec, artifact_store)
    return recipe_spec


def _choose(artifacts: Sequence[Artifact]) -> list[Artifact]:
    return [artifact for artifact in artifacts if artifact.kind in {"corpus", "shards"}]
