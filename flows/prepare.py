"""The data of a recipe: its corpora, downloaded, checked and packed into shards."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from flows.make import make_with_inputs
from flows.work import work
from tasks.orchestration.events import tell_prepared
from tasks.orchestration.names import name_flow_run
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Artifact
from wavlm.specs import Recipe

DEFAULT_RUNTIME = Runtime()


@flow(flow_run_name=name_flow_run)
def prepare(
    recipe: str,
    store: str = "store",
    runtime: Runtime = DEFAULT_RUNTIME,
    refresh_after_hours: Annotated[float, Field(gt=0)] | None = None,
) -> State[Recipe]:
    """Make the corpora and shards that the store does not hold yet; no training.

    Args:
        recipe: The recipe's file, or the name of a shipped one, such as `demo`. Relative to the worker's folder.
        store: The folder in which everything that is made lies. Relative to the worker's folder.
        runtime: How to run: nothing of it changes the result.
        refresh_after_hours: Tell the server that a refresh is due once so many hours of speech came in since the last.
    """
    tell = partial(tell_prepared, enough_hours=refresh_after_hours)
    return work(recipe, store, runtime, _choose, make_with_inputs, tell, is_today=True)


def _choose(artifacts: Sequence[Artifact]) -> list[Artifact]:
    return [artifact for artifact in artifacts if artifact.kind in {"corpus", "shards"}]
