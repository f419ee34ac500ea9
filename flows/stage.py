"""One stage of a recipe, alone: its inputs have to be there, or to be made by another run, and are not built."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from flows.make import make, make_again
from flows.work import work
from tasks.orchestration.names import name_flow_run
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.selection import select
from wavlm.pipeline.stages import StageName
from wavlm.specs import Recipe

DEFAULT_RUNTIME = Runtime()


@flow(flow_run_name=name_flow_run)
def stage(  # noqa: PLR0913 - the fields of a form
    kind: StageName,
    recipe: str,
    iteration: Annotated[int, Field(ge=1)] | None = None,
    corpus: str | None = None,
    store: str = "store",
    runtime: Runtime = DEFAULT_RUNTIME,
    *,
    redo: bool = False,
) -> State[Recipe]:
    """Make all artifacts of a stage, or those of one iteration or corpus.

    Args:
        kind: The stage; `evaluate` makes `scores` and `evaluation`.
        recipe: The recipe's file, or the name of a shipped one, such as `demo`. Relative to the worker's folder.
        iteration: The place of the iteration in the recipe, from 1 on. Nothing given: all iterations.
        corpus: The name of one corpus of the recipe. Nothing given: all corpora.
        store: The folder in which everything that is made lies. Relative to the worker's folder.
        runtime: How to run: nothing of it changes the result.
        redo: Move what is complete to the store's trash first, and make it again.
    """
    make_one = make_again if redo else make
    return work(recipe, store, runtime, lambda items: select(items, kind, iteration, corpus), make_one)
