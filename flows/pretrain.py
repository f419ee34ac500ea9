"""A whole model: from corpora, over every iteration, to the registry."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.kinds import needed
from flows.steps import make
from tasks.summary import publish
from wavlm.artifacts import Kind
from wavlm.execution.runtime import Runtime
from wavlm.planning import plan
from wavlm.specs.yaml import read_recipe
from wavlm.store import Store

HERE = Runtime()


@flow(flow_run_name="pretrain {recipe}")
def pretrain(recipe: str, store: str = "store", runtime: Runtime = HERE, until: Kind | None = None) -> None:
    """Make what the store does not hold yet, inputs before what is made from them."""
    wanted = read_recipe(Path(recipe))
    place = Store(Path(store))
    for artifact in needed(plan(wanted), until):
        make(artifact, wanted, place, runtime)
    publish(wanted, place)
