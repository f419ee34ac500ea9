"""A whole model: from corpora, over every iteration, to the registry."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.make import make
from tasks.orchestration.summary import publish
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Kind
from wavlm.pipeline.plan import needed, plan
from wavlm.pipeline.store import Store
from wavlm.specs.yaml import read_recipe

HERE = Runtime()


@flow(flow_run_name="pretrain {recipe}")
def pretrain(recipe: str, store: str = "store", runtime: Runtime = HERE, until: Kind | None = None) -> None:
    """Make what the store does not hold yet, inputs before what is made from them."""
    wanted = read_recipe(Path(recipe))
    place = Store(Path(store))
    for artifact in needed(plan(wanted), until):
        make(artifact, wanted, place, runtime)
    publish(wanted, place)
