"""`wavlm simulate`: conversations whose turns are known by construction."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli import console
from flows.cli.evaluate import NOT_TAKEN
from flows.cli.options import DEFAULT_STORE, StoreFolder
from flows.cli.runtime import with_runtime
from wavlm.execution.runtime import Runtime


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(simulate)


@with_runtime(*NOT_TAKEN)
def simulate(
    simulation: Annotated[Path, typer.Argument(metavar="SIMULATION", help="A simulation: file or shipped name")],
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the conversations go; not in the store")],
    *,
    store: StoreFolder = DEFAULT_STORE,
    runtime: Runtime,
) -> None:
    """Make conversations of single utterances, with turns (RTTM), rooms and noise: a corpus to train and test on.

    The same seed and corpora give the same bytes. Stopped or killed: the same command continues.

    [bold]Example[/]

      [cyan]wavlm simulate conversations-small talks[/]
    """
    from flows.cli.run import run_recipe
    from wavlm.mixing.conversations.build import build_conversations
    from wavlm.pipeline.plan import plan
    from wavlm.pipeline.resolve import resolve
    from wavlm.pipeline.simulation_request import find_folders, write_sources
    from wavlm.pipeline.store import Store
    from wavlm.specs.simulation_file import find_simulation
    from wavlm.specs.yaml import read_recipe

    spec, artifact_store = find_simulation(simulation), Store(store)
    recipe = write_sources(spec, artifact_store)
    run_recipe(recipe, artifact_store, runtime, until="shards")
    folders = find_folders(spec, plan(resolve(read_recipe(recipe), artifact_store)), artifact_store)
    facts = build_conversations(spec, folders, out, runtime.workers)
    for name, part in (("train", facts.train), ("dev", facts.dev), ("test", facts.test)):
        if part is not None:
            console.out.print(
                f"{name}: {part.conversations} conversations, {part.hours:.2f} h, {part.voices} voices, "
                f"{100 * part.overlap:.1f} % of the speech overlaps, nobody speaks in {100 * part.silence:.1f} %",
                highlight=False,
                soft_wrap=True,
            )
    console.out.print(f"{out}: listen to {out / 'listen'}; its corpus is {out / spec.name}.yaml", soft_wrap=True)
