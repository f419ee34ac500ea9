"""`wavlm finetune`: train a system on top of a model, and score it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli import console
from flows.cli.options import DEFAULT_STORE, StoreFolder
from flows.cli.runtime import with_runtime
from wavlm.execution.runtime import Runtime

# Of several machines, and of what only pre-training does.
NOT_TAKEN = (
    "compile", "checkpoint_activations", "shard_parameters", "nodes", "launcher", "address", "scratch",
)  # fmt: skip


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(finetune)


@with_runtime(*NOT_TAKEN)
def finetune(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="A file of data_specs/finetunes, or a shipped name")],
    *,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="What it stands on, in place of the spec's: a folder or file, NAME@ALIAS, fbank, random:NETWORK",
        ),
    ] = "",
    system: Annotated[
        str,
        typer.Option(
            "--system",
            metavar="SYSTEM",
            help="The system to go on from, network and head: a folder, NAME@ALIAS, or a file of data_specs/finetunes",
        ),
    ] = "",
    store: StoreFolder = DEFAULT_STORE,
    runtime: Runtime,
) -> None:
    """Train a network and a head for one task, stage by stage, and score the system on its test part.

    A run that was stopped goes on from its last checkpoint; what is complete is left alone.

    [bold]Examples[/]

      [cyan]wavlm finetune asr-small --model wavlm-demo@champion[/]

      [cyan]wavlm finetune asv-small --model fbank[/]

      [cyan]wavlm finetune sd-eend-eda-ami-adapt --system sd-eend-eda@best[/]
    """
    from flows.cli.results import print_board
    from flows.cli.run import run_recipe
    from tasks.requests import request_system
    from wavlm.evaluation.results.board import keep
    from wavlm.pipeline.artifacts import Finetune
    from wavlm.pipeline.plan import plan
    from wavlm.pipeline.resolve import resolve
    from wavlm.pipeline.scoreboard import find_results
    from wavlm.pipeline.store import Store
    from wavlm.specs.yaml import read_recipe

    artifact_store = Store(store)
    recipe = request_system(spec, model, artifact_store, system)
    run_recipe(recipe, artifact_store, runtime, until=None)
    systems = [item for item in plan(resolve(read_recipe(recipe), artifact_store)) if isinstance(item, Finetune)]
    print_board(keep(find_results(systems, artifact_store)), "table")
    for made in systems:
        console.out.print(f"system: {artifact_store.path(made)}", highlight=False, soft_wrap=True)
    console.out.print(f"recipe: {recipe}", highlight=False, soft_wrap=True)
