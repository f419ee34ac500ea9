"""One stage of a recipe, alone: its inputs have to be there, and are not built."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.make import make, read_resolved
from flows.ready import check_ready
from tasks.orchestration.alive import answer_when_lost
from tasks.orchestration.summary import publish
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Kind
from wavlm.pipeline.plan import plan, select
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe

DEFAULT_RUNTIME = Runtime()


@flow(flow_run_name="{kind} {recipe}")
@answer_when_lost
def stage(  # noqa: PLR0913 - the fields of a form
    kind: Kind,
    recipe: str,
    iteration: int | None = None,
    corpus: str | None = None,
    store: str = "store",
    runtime: Runtime = DEFAULT_RUNTIME,
    *,
    redo: bool = False,
) -> Recipe:
    """Make all artifacts of a kind, or those of one iteration or corpus.

    With `redo` complete ones are moved to the store's trash first, and made again.
    """
    artifact_store = Store(Path(store))
    check_ready(recipe, artifact_store, runtime, lambda items: select(items, kind, iteration, corpus), redo=redo)
    recipe_spec = read_resolved(recipe, artifact_store)
    for artifact in select(plan(recipe_spec), kind, iteration, corpus):
        if redo:
            for item in artifact.needs:
                artifact_store.require(item)  # before what is there is moved away
            artifact_store.redo(artifact)
        make(artifact, recipe_spec, artifact_store, runtime)
    publish(recipe_spec, artifact_store)
    return recipe_spec
