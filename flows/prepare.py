"""The data of a recipe: its corpora, downloaded, checked and packed into shards."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.make import make
from tasks.orchestration.summary import publish
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.plan import plan
from wavlm.pipeline.store import Store
from wavlm.specs.yaml import read_recipe

HERE = Runtime()


@flow(flow_run_name="prepare {recipe}")
def prepare(recipe: str, store: str = "store", runtime: Runtime = HERE) -> None:
    """Make the corpora and shards that the store does not hold yet; no training."""
    wanted = read_recipe(Path(recipe))
    place = Store(Path(store))
    for artifact in plan(wanted):
        if artifact.kind in {"corpus", "shards"}:
            make(artifact, wanted, place, runtime)
    publish(wanted, place)
