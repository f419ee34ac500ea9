"""A whole model: from corpora, over every iteration, to the registry."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State

from flows.make import make_with_inputs
from flows.work import work
from tasks.orchestration.names import name_flow_run
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Kind
from wavlm.pipeline.plan import select_needed
from wavlm.specs import Recipe

DEFAULT_RUNTIME = Runtime()


@flow(flow_run_name=name_flow_run)
def pretrain(
    recipe: str, store: str = "store", runtime: Runtime = DEFAULT_RUNTIME, until: Kind | None = None
) -> State[Recipe]:
    """Make what the store does not hold yet, inputs before what is made from them. Returns the resolved recipe.

    Args:
        recipe: The recipe's file, or the name of a shipped one, such as `demo`. Relative to the worker's folder.
        store: The folder in which everything that is made lies. Relative to the worker's folder.
        runtime: How to run: nothing of it changes the result.
        until: Stop when all artifacts of this kind are there. Nothing chosen: the whole recipe.
    """
    return work(recipe, store, runtime, lambda items: select_needed(items, until), make_with_inputs)
