"""A whole model: from corpora, over every iteration, to the registry."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.make import make, read_resolved, require_registered
from flows.ready import check_ready
from tasks.orchestration.summary import publish
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Kind
from wavlm.pipeline.plan import plan, select_needed
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe

DEFAULT_RUNTIME = Runtime()


@flow(flow_run_name="pretrain {recipe}")
def pretrain(
    recipe: str, store: str = "store", runtime: Runtime = DEFAULT_RUNTIME, until: Kind | None = None
) -> Recipe:
    """Make what the store does not hold yet, inputs before what is made from them. Returns the resolved recipe."""
    artifact_store = Store(Path(store))
    check_ready(recipe, artifact_store, runtime, lambda items: select_needed(items, until))
    recipe_spec = read_resolved(recipe, artifact_store)
    artifacts = select_needed(plan(recipe_spec), until)
    for artifact in artifacts:
        make(artifact, recipe_spec, artifact_store, runtime)
    publish(recipe_spec, artifact_store)
    if runtime.require_registry:
        require_registered(artifacts, artifact_store, recipe)
    return recipe_spec
