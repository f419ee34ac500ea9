"""`wavlm evaluate`: score a model on a suite of tasks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from flows.cli import console
from flows.cli.options import DEFAULT_STORE, StoreFolder
from flows.cli.runtime import with_runtime
from wavlm.execution.runtime import Runtime

# Of what trains a model and registers it: an evaluation does neither.
NOT_TAKEN = (
    "processes", "threads", "snapshot_every", "compile", "checkpoint_activations", "shard_parameters", "tracking",
    "experiment", "require_registry", "nodes", "launcher", "address", "restarts",
)  # fmt: skip


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(evaluate)


@with_runtime(*NOT_TAKEN)
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A folder or file of a model, NAME@ALIAS of the registry, or fbank, mfcc, random:NETWORK",
        ),
    ],
    suite: Annotated[Path, typer.Argument(metavar="SUITE", help="A suite or one evaluation: file or shipped name")],
    *,
    store: StoreFolder = DEFAULT_STORE,
    runtime: Runtime,
) -> None:
    """Score a model on a suite of tasks; what is complete is left alone.

    A task whose corpus is missing here is named with where to get it; all others are run, and the exit code says so.

    [bold]Examples[/]

      [cyan]wavlm evaluate wavlm-demo@champion small[/]

      [cyan]wavlm evaluate path/to/hf-folder superb --store /data/store --gpus 1[/]
    """
    from flows.cli.results import print_board
    from flows.cli.run import run_recipe
    from flows.request import ask, publish_request
    from wavlm.pipeline.artifacts import Evaluation
    from wavlm.pipeline.check import NotReadyError
    from wavlm.pipeline.plan import plan
    from wavlm.pipeline.resolve import resolve
    from wavlm.pipeline.scoreboard import find_results, make_board
    from wavlm.pipeline.store import Store
    from wavlm.specs.yaml import find_suite, read_recipe

    artifact_store, asked = Store(store), find_suite(suite)
    request = ask(model, asked, artifact_store)
    run_recipe(request.recipe, artifact_store, runtime, until=None, load_flow=_load_evaluate)
    resolved = resolve(read_recipe(request.recipe), artifact_store)
    wanted_results = [item for item in plan(resolved) if isinstance(item, Evaluation)]
    board = make_board(find_results(wanted_results, artifact_store), artifact_store)
    print_board(board, "table", suites={asked.name: [it.name for it in asked.evaluations]})
    console.out.print(f"recipe: {request.recipe}", highlight=False, soft_wrap=True)
    for version in publish_request(request, artifact_store):
        console.out.print(f"added to {version} in the registry", highlight=False, soft_wrap=True)
    if request.missing:
        raise NotReadyError(request.missing)


def _load_evaluate() -> Callable[..., object]:
    from flows.evaluate import evaluate as evaluate_flow

    return evaluate_flow
