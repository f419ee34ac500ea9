"""A whole model: from corpora, over every iteration, to the registry."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State

from flows.elsewhere import make_elsewhere, needs_gpu, without_gpus
from flows.make import make, make_with_inputs
from flows.work import MakeOne, work
from tasks.orchestration.names import name_flow_run
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Artifact
from wavlm.pipeline.plan import plan
from wavlm.pipeline.selection import first_iteration, select_needed
from wavlm.pipeline.stages import StageName
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe

DEFAULT_RUNTIME = Runtime()


@flow(flow_run_name=name_flow_run)
def pretrain(
    recipe: str,
    store: str = "store",
    runtime: Runtime = DEFAULT_RUNTIME,
    until: StageName | None = None,
    training: str | None = None,
) -> State[Recipe]:
    """Make what the store does not hold yet, inputs before what is made from them. Returns the resolved recipe.

    Args:
        recipe: The recipe's file, or the name of a shipped one, such as `demo`. Relative to the worker's folder.
        store: The folder in which everything that is made lies. Relative to the worker's folder.
        runtime: How to run: nothing of it changes the result.
        until: Stop when all artifacts of this kind are there. Nothing chosen: the whole recipe.
        training: A deployment of the flow `stage`, e.g. stage/demo.training: what needs a GPU is made there.
    """
    here = without_gpus(runtime) if training else runtime
    make_one = make_where(training, recipe, runtime)
    return work(recipe, store, here, lambda items: select_needed(items, until), make_one, is_here=training is None)


def make_where(training: str | None, recipe: str, runtime: Runtime) -> MakeOne:
    """How to make an artifact: here, with what it needs; or what needs a GPU in the deployment `training`."""

    def make_one(artifact: Artifact, recipe_spec: Recipe, artifact_store: Store, here: Runtime) -> None:
        if training is None:
            make_with_inputs(artifact, recipe_spec, artifact_store, here)
        elif needs_gpu(artifact):
            iteration = first_iteration(artifact, plan(recipe_spec))
            make_elsewhere(artifact, training, artifact_store, recipe=recipe, iteration=iteration, runtime=runtime)
        else:
            make(artifact, recipe_spec, artifact_store, here)

    return make_one
