"""Scores of the models that the store holds."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from flows.work import work
from tasks.orchestration.names import name_flow_run
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.plan import select
from wavlm.specs import Recipe

DEFAULT_RUNTIME = Runtime()


@flow(flow_run_name=name_flow_run)
def evaluate(
    recipe: str,
    iteration: Annotated[int, Field(ge=1)] | None = None,
    store: str = "store",
    runtime: Runtime = DEFAULT_RUNTIME,
) -> State[Recipe]:
    """Probe one iteration's model, or every one; the models have to be there, or to be made by another run.

    Args:
        recipe: The recipe's file, or the name of a shipped one, such as `demo`. Relative to the worker's folder.
        iteration: The place of the iteration in the recipe, from 1 on. Nothing given: all iterations.
        store: The folder in which everything that is made lies. Relative to the worker's folder.
        runtime: How to run: nothing of it changes the result.
    """
    return work(recipe, store, runtime, lambda items: select(items, "scores", iteration))
