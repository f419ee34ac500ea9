"""Commands that only look: check, plan, status, verify. They import neither Prefect nor torch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import Progress as Bars
from rich.table import Table

from flows.cli import console, options
from flows.cli.options import DEFAULT_STORE, RecipeFile, StoreFolder
from wavlm.pipeline.artifacts import Kind


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(check)
    app.command()(plan)
    app.command()(status)
    app.command()(verify)


def check(
    recipe: RecipeFile,
    store: StoreFolder = DEFAULT_STORE,
    *,
    until: Annotated[Kind | None, typer.Option(help="Only what `run --until` would make")] = None,
    gpus: options.Gpus = 0,
    processes: options.Processes = 0,
) -> None:
    """Look for everything that would stop a run, in seconds and without data. `run` and `stage` begin with it.

    [bold]Example[/]

      [cyan]wavlm check data_specs/recipes/wavlm-base.yaml --store /data/store --gpus 8[/]
    """
    from flows.ready import find_all
    from wavlm.errors import CodedError
    from wavlm.execution.runtime import Runtime
    from wavlm.pipeline.check import NotReadyError
    from wavlm.pipeline.plan import select_needed
    from wavlm.pipeline.store import Store

    runtime = Runtime(gpus=gpus, processes=processes)
    problems = []
    for item in find_all(str(recipe), Store(store), runtime, lambda items: select_needed(items, until)):
        if isinstance(item, CodedError):
            problems.append(item)
        else:
            console.out.print(f"{'??' if item.is_warning else 'ok'}  {item.text}", markup=False, highlight=False)
    if problems:
        raise NotReadyError(problems)
    console.out.print("nothing is known that would stop a run", highlight=False)


def plan(
    recipe: RecipeFile,
    store: StoreFolder = DEFAULT_STORE,
    *,
    cost: Annotated[bool, typer.Option("--cost", help="Hours, disk and GPUs that a real run needs")] = False,
) -> None:
    """What is there, what would be made, and why. Runs nothing.

    [bold]Examples[/]

      [cyan]wavlm plan data_specs/recipes/demo.yaml[/]

      [cyan]wavlm plan data_specs/recipes/wavlm-large.yaml --cost[/]
    """
    from flows.cli.plan import cost_table, plan_table
    from wavlm.pipeline.store import Store

    console.out.print(cost_table(recipe, Store(store)) if cost else plan_table(recipe, Store(store)))


def status(store: StoreFolder = DEFAULT_STORE) -> None:
    """What the store holds: sizes, times, what is under way.

    [bold]Example[/]

      [cyan]wavlm status --store /data/store[/]
    """
    from flows.cli.inventory import list_broken, list_complete, list_under_way
    from wavlm.pipeline.store import Store

    artifact_store = Store(store)
    table = Table("artifact", "files", "size", "took", "made", title=escape(str(artifact_store.root)), box=None)
    table.columns[0].overflow = "fold"
    for item in list_complete(artifact_store):
        table.add_row(item.folder, str(item.num_files), item.size, item.took, item.made)
    console.out.print(table)
    for line in list_broken(artifact_store):
        console.out.print(line, highlight=False, soft_wrap=True, markup=False)
    for line in list_under_way(artifact_store):
        console.out.print(line, highlight=False)


def verify(
    store: StoreFolder = DEFAULT_STORE,
    only: Annotated[str, typer.Option(metavar="TEXT", help="Only artifacts whose folder contains this")] = "",
) -> None:
    """Hash every file again; exit code 65 if one differs from what was sealed.

    [bold]Examples[/]

      [cyan]wavlm verify[/]

      [cyan]wavlm verify --only shards/[/]
    """
    from wavlm.errors import EXIT_BAD_DATA
    from wavlm.pipeline.store import Store
    from wavlm.storage.seals import has_digest

    artifact_store = Store(store)
    folders = [path for path in artifact_store.folders() if only in _name(path)]
    damaged = []
    with Bars(console=console.err, transient=True) as bars:
        whole = bars.add_task("artifacts", total=len(folders))
        row = bars.add_task("", total=None)
        for folder in folders:
            bars.reset(row, description=_name(folder))
            damaged += artifact_store.verify(folder, lambda done, total: bars.update(row, completed=done, total=total))
            bars.advance(whole)
    for item in damaged:
        console.out.print(
            f"DAMAGED: {item.path}: found {item.found}, expected {item.expected}",
            highlight=False,
            soft_wrap=True,
        )
    if damaged:
        console.err.print("make them again: wavlm stage KIND RECIPE --redo, then what was made from them")
        sys.exit(EXIT_BAD_DATA)
    console.out.print(f"{len(folders)} artifacts are what they were when they were made")
    if old := sum(not has_digest(folder) for folder in folders):
        console.out.print(
            f"{old} of them have a record without a digest of its own, as earlier versions wrote it: their files were "
            "compared, a change of what their stages reported would not show",
            soft_wrap=True,
        )


def _name(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"
