"""A whole model: from corpora, over every iteration, to the registry."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.elsewhere import make_elsewhere, needs_gpu, without_gpus
from flows.make import make, read_resolved
from flows.ready import check_ready
from tasks.orchestration.alive import answer_when_lost
from tasks.orchestration.summary import publish
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Kind
from wavlm.pipeline.plan import first_iteration, plan, select_needed
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe

DEFAULT_RUNTIME = Runtime()


@flow(flow_run_name="pretrain {recipe}")
@answer_when_lost
def pretrain(
    recipe: str,
    store: str = "store",
    runtime: Runtime = DEFAULT_RUNTIME,
    until: Kind | None = None,
    training: str | None = None,
) -> Recipe:
    """Make what the store does not hold yet, inputs before what is made from them. Returns the resolved recipe.

    `training` names a deployment of the flow `stage`, e.g. stage/demo-training: what needs a GPU is made there.
    """
    artifact_store = Store(Path(store))
    here = without_gpus(runtime) if training else runtime
    check_ready(recipe, artifact_store, here, lambda items: select_needed(items, until))
    recipe_spec = read_resolved(recipe, artifact_store)
    artifacts = plan(recipe_spec)
    for artifact in select_needed(artifacts, until):
        if training and needs_gpu(artifact):
            iteration = first_iteration(artifact, artifacts)
            make_elsewhere(artifact, training, artifact_store, recipe=recipe, iteration=iteration, runtime=runtime)
        else:
            make(artifact, recipe_spec, artifact_store, here)
    publish(recipe_spec, artifact_store)
    return recipe_spec
