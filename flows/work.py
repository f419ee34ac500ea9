"""What all flows share: check, make what was chosen, and show on the run's page what happened."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.make import make, make_again, read_resolved, require_registered
from flows.ready import Choose, check_ready
from tasks.orchestration.logs import send_logs
from tasks.orchestration.names import add_to_name, current_name
from tasks.orchestration.summary import publish, publish_work
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Artifact
from wavlm.pipeline.plan import plan
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe
from wavlm.storage.holders import name_run

MakeOne = Callable[[Artifact, Recipe, Store, Runtime], None]
NOTHING = "nothing to do"

logger = logging.getLogger(__name__)


def work(
    recipe: str,
    store: str,
    runtime: Runtime,
    choose: Choose,
    make_one: MakeOne = make,
    tell: Callable[[Recipe, Store], None] | None = None,
) -> State[Recipe]:
    """Make the chosen artifacts of a recipe, in their order. Returns a flow's state with the resolved recipe.

    `tell` is called when all of them are there.
    """
    artifact_store = Store(Path(store))
    redo = make_one is make_again
    with send_logs(), name_run(current_name()):
        check_ready(recipe, artifact_store, runtime, choose, redo=redo)
        recipe_spec = read_resolved(recipe, artifact_store, runtime)
        chosen = choose(plan(recipe_spec))
        there = [] if redo else [item for item in chosen if artifact_store.is_complete(item)]
        try:
            for artifact in chosen:
                make_one(artifact, recipe_spec, artifact_store, runtime)
        finally:
            publish_work(recipe_spec, artifact_store, chosen, there)
        publish(recipe_spec, artifact_store)
        if runtime.require_registry:
            require_registered(chosen, artifact_store, recipe)
        if tell:
            tell(recipe_spec, artifact_store)
        return Completed(message=_conclude(chosen, there), data=recipe_spec)


def _conclude(chosen: Sequence[Artifact], there: Sequence[Artifact]) -> str:
    """One line about the whole run, which its state shows; a run that had nothing to do says so in its name, too."""
    if len(there) == len(chosen):
        text = f"{NOTHING}: all {len(chosen)} artifacts were there"
        add_to_name(NOTHING)
    else:
        text = f"made {len(chosen) - len(there)} of {len(chosen)} artifacts, {len(there)} were there"
    logger.info("%s", text)
    return text
