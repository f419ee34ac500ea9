"""Score models: fast metrics of each layer, and the tasks of a suite. Nothing is trained but heads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from flows.make import make, make_with_inputs
from flows.request import Request, ask, publish_request
from flows.work import under_way, work
from tasks.orchestration.names import name_flow_run
from wavlm.errors import UsageError
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Artifact
from wavlm.pipeline.check import NotReadyError
from wavlm.pipeline.selection import select
from wavlm.pipeline.stages import EVALUATE, with_labelled_corpora
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe, SuiteSpec
from wavlm.specs.yaml import find_suite, read_recipe

DEFAULT_RUNTIME = Runtime()


@flow(flow_run_name=name_flow_run)
def evaluate(
    recipe: str,
    iteration: Annotated[int, Field(ge=1)] | None = None,
    store: str = "store",
    runtime: Runtime = DEFAULT_RUNTIME,
    model: str = "",
    suite: str = "",
) -> State[Recipe]:
    """Score one iteration's model, or every one, on fast metrics and on the recipe's suite; or another model.

    The models have to be there, or to be made by another run. Labelled corpora are made.

    Args:
        recipe: The recipe's file, or the name of a shipped one, such as `demo`. Relative to the worker's folder.
        iteration: The place of the iteration in the recipe, from 1 on. Nothing given: all iterations.
        store: The folder in which everything that is made lies. Relative to the worker's folder.
        runtime: How to run: nothing of it changes the result.
        model: Score this one instead: NAME@ALIAS or NAME:VERSION of the registry, a folder, or `fbank` and the like.
        suite: The suite, or one evaluation, that `model` is scored on. Nothing given: the recipe's.
    """
    if not model:
        if suite:
            raise UsageError(
                "SUBJECT_UNKNOWN",
                f"the suite {suite} was given, and no model; in the parameters; name the model, or leave the suite out",
            )
        return work(recipe, store, runtime, lambda items: _choose(items, iteration), _make_one)
    with under_way(store) as artifact_store:
        request = ask(model, _find_suite(recipe, suite), artifact_store)
        state = work(str(request.recipe), store, runtime, tuple, make_with_inputs)
        _conclude(request, artifact_store)
        return state


def _choose(artifacts: Sequence[Artifact], iteration: int | None) -> tuple[Artifact, ...]:
    return tuple(dict.fromkeys(with_labelled_corpora(select(artifacts, EVALUATE, iteration))))


def _make_one(artifact: Artifact, recipe: Recipe, store: Store, runtime: Runtime) -> None:
    make(artifact, recipe, store, runtime)


def _find_suite(recipe: str, suite: str) -> SuiteSpec:
    if suite:
        return find_suite(Path(suite))
    found = read_recipe(Path(recipe)).evaluate
    if found is None:
        raise UsageError(
            "SUBJECT_UNKNOWN", f"no suite was given, and {recipe} has none; in the parameters; name a suite, as `small`"
        )
    return found


def _conclude(request: Request, store: Store) -> None:
    publish_request(request, store)
    if request.missing:
        raise NotReadyError(request.missing)
