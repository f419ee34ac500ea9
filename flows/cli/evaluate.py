"""`wavlm evaluate`: score a model on a suite of tasks."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from flows.cli import console
from flows.cli.options import DEFAULT_STORE, StoreFolder
from flows.cli.runtime import with_runtime
from wavlm.execution.runtime import Runtime

logger = logging.getLogger(__name__)

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
    from wavlm.evaluation.results.board import keep
    from wavlm.pipeline.artifacts import Evaluation
    from wavlm.pipeline.check import NotReadyError
    from wavlm.pipeline.plan import plan
    from wavlm.pipeline.request import reference_of, set_absent_aside, set_missing_aside, write_request
    from wavlm.pipeline.resolve import resolve
    from wavlm.pipeline.scoreboard import find_results
    from wavlm.pipeline.store import Store
    from wavlm.specs.yaml import find_suite, read_recipe

    artifact_store, network = Store(store), None
    wanted, missing = set_missing_aside(find_suite(suite))
    wanted, absent = set_absent_aside(wanted)
    for line in [*(f"left out: {problem}" for problem in missing), *absent]:
        logger.warning("%s", line)
    if reference := reference_of(model):
        from tasks.registry.lookup import find_network

        network = find_network(artifact_store, reference)
    recipe = write_request(model, wanted, artifact_store, network)
    run_recipe(recipe, artifact_store, runtime, until=None)
    resolved = resolve(read_recipe(recipe), artifact_store)
    wanted_results = [item for item in plan(resolved) if isinstance(item, Evaluation)]
    print_board(keep(find_results(wanted_results, artifact_store)), "table")
    console.out.print(f"recipe: {recipe}", highlight=False, soft_wrap=True)
    if reference:
        from tasks.registry.evaluated import add_results

        for version in add_results(resolved, artifact_store):
            console.out.print(f"added to {version.reference} in the registry", highlight=False, soft_wrap=True)
    if missing:
        raise NotReadyError(missing)
