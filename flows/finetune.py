"""A system on top of a model: network and head are trained for one task, scored, and registered."""

from __future__ import annotations

from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import State

from flows.make import make_with_inputs
from flows.work import under_way, work
from tasks.orchestration.names import name_flow_run
from tasks.requests import request_system
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.selection import select_needed
from wavlm.specs import Recipe

DEFAULT_RUNTIME = Runtime()


@flow(flow_run_name=name_flow_run)
def finetune(
    system: str,
    model: str = "",
    store: str = "store",
    runtime: Runtime = DEFAULT_RUNTIME,
    going_on_from: str = "",
) -> State[Recipe]:
    """Train a system, score it on its test part, and register it. What was stopped goes on from its last checkpoint.

    Args:
        system: The system's file, or the name of a shipped one, such as `ks-small`. Relative to the worker's folder.
        model: What it stands on: a folder, NAME@ALIAS of the registry, fbank. Empty: what the system's file says.
        store: The folder in which everything that is made lies. Relative to the worker's folder.
        runtime: How to run: nothing of it changes the result.
        going_on_from: The system whose training goes on: a folder, NAME@ALIAS, or another system's name. Empty: none,
            or what the system's file says.
    """
    with under_way(store) as artifact_store:
        recipe = request_system(Path(system), model, artifact_store, going_on_from)
        return work(str(recipe), store, runtime, lambda items: select_needed(items, None), make_with_inputs)
