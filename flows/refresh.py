"""The weekly loop: data of today, a training from the champion, scores, registration, and the gate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import Field

from flows.elsewhere import without_gpus
from flows.make import read_resolved
from flows.pretrain import make_where
from flows.ready import require_launcher
from flows.work import NOTHING, under_way, work
from tasks.folders import read_folders
from tasks.orchestration.names import add_to_name, name_flow_run
from tasks.refresh import alone, begin, seal, take_corpora
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Artifact
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe
from wavlm.specs.yaml import read_recipe

DEFAULT_RUNTIME = Runtime()
FIRST = {"model", "corpus", "shards"}  # kinds that are there before a number has taken its recordings


@flow(flow_run_name=name_flow_run)
def refresh(
    recipe: str,
    store: str = "store",
    runtime: Runtime = DEFAULT_RUNTIME,
    number: Annotated[int, Field(ge=1)] | None = None,
    training: str | None = None,
    *,
    anyway: bool = False,
) -> State[Recipe]:
    """Go on with the open number of a recipe, or begin the next one if something is new. Returns the resolved recipe.

    Args:
        recipe: The recipe's file, which takes a model by an alias. Relative to the worker's folder.
        store: The folder in which everything that is made lies. Relative to the worker's folder.
        runtime: How to run: nothing of it changes the result.
        number: Which refresh is meant: the newest, or the next one. Nothing given: whichever it is.
        training: A deployment of the flow `stage`, e.g. stage/demo.training: what needs a GPU is made there.
        anyway: Begin the next number also if there is no new speech and no other model.
    """
    require_launcher(runtime)
    recipe_spec = read_recipe(Path(recipe))
    # A number is sealed only once the registry has the model: one that does not answer fails the run, which is tried
    # again.
    here = (without_gpus(runtime) if training else runtime).model_copy(update={"require_registry": True})
    make_one = make_where(training, recipe, runtime)

    def make_taken(artifact: Artifact, resolved: Recipe, where: Store, how: Runtime) -> None:
        if artifact.kind not in FIRST:
            take_corpora(resolved, where)
        make_one(artifact, resolved, where, how)

    with under_way(store) as artifact_store, alone(recipe_spec, artifact_store, runtime):
        begun = begin(
            recipe_spec,
            artifact_store,
            lambda: read_folders(recipe_spec, artifact_store, runtime),
            number,
            anyway=anyway,
        )
        if begun is None:
            add_to_name(NOTHING)
            resolved = read_resolved(recipe, artifact_store, runtime)
            return Completed(message=f"{NOTHING}: no new speech, and no other model", data=resolved)
        return work(recipe, store, here, tuple, make_taken, seal, is_here=training is None)
