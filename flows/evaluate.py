"""Scores of the models that the store holds."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.make import make, read_resolved
from flows.ready import check_ready
from tasks.orchestration.alive import answer_when_lost
from tasks.orchestration.summary import publish
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.plan import plan, select
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe

DEFAULT_RUNTIME = Runtime()


@flow(flow_run_name="evaluate {recipe}")
@answer_when_lost
def evaluate(
    recipe: str, iteration: int | None = None, store: str = "store", runtime: Runtime = DEFAULT_RUNTIME
) -> Recipe:
    """Probe one iteration's model, or every one; the models have to be there."""
    artifact_store = Store(Path(store))
    check_ready(recipe, artifact_store, runtime, lambda items: select(items, "scores", iteration))
    recipe_spec = read_resolved(recipe, artifact_store)
    for artifact in select(plan(recipe_spec), "scores", iteration):
        make(artifact, recipe_spec, artifact_store, runtime)
    publish(recipe_spec, artifact_store)
    return recipe_spec
