"""Commands that only look: check, plan, status, verify. They import neither Prefect nor torch."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import Progress as Bars
from rich.table import Table

from flows.cli import console
from flows.cli.mirror_house import verify_mirror
from flows.cli.options import DEFAULT_STORE, RecipeFile, StoreFolder
from flows.cli.runtime import with_runtime
from wavlm.errors import UsageError
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Artifact
from wavlm.pipeline.stages import StageName
from wavlm.pipeline.store import Store
from wavlm.specs.lookup import suggest


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(check)
    app.command()(plan)
    app.command()(status)
    app.command()(verify)


@with_runtime()
def check(
    recipe: RecipeFile,
    store: StoreFolder = DEFAULT_STORE,
    *,
    until: Annotated[StageName | None, typer.Option(help="Only what `run --until` would make")] = None,
    runtime: Runtime,
) -> None:
    """Look for everything that would stop a run, in seconds and without data. `run` and `stage` begin with it.

    It takes the options of `run`. What a mirror has need not be made.

    [bold]Example[/]

      [cyan]wavlm check data_specs/recipes/wavlm-base.yaml --store /data/store --gpus 8[/]
    """
    from flows.ready import find_all
    from wavlm.errors import CodedError
    from wavlm.pipeline.check import NotReadyError
    from wavlm.pipeline.mirror.sharing import find_lacking, require_mirror
    from wavlm.pipeline.selection import select_needed

    def choose(artifacts: Sequence[Artifact]) -> Sequence[Artifact]:
        return find_lacking(select_needed(artifacts, until), runtime)

    require_mirror(runtime)
    problems = []
    for item in find_all(str(recipe), Store(store), runtime, choose):
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
    mbits: Annotated[float, typer.Option(min=0.001, help="With --cost: of the network, per second")] = 1000.0,
    gpus: Annotated[int, typer.Option(min=0, help="With --cost: on each node, to give days")] = 0,
    nodes: Annotated[int, typer.Option(min=1, help="With --cost: machines with so many GPUs")] = 1,
) -> None:
    """What is there, what would be made, and why. Runs nothing.

    [bold]Examples[/]

      [cyan]wavlm plan data_specs/recipes/demo.yaml[/]

      [cyan]wavlm plan data_specs/recipes/wavlm-large.yaml --cost[/]

      [cyan]wavlm plan data_specs/recipes/wavlm-large.yaml --cost --mbits 400 --gpus 8 --nodes 4[/]
    """
    from flows.cli.plan import cost_table, plan_table

    if cost:
        console.out.print(cost_table(recipe, Store(store), mbits, gpus, nodes))
    else:
        console.out.print(plan_table(recipe, Store(store)))


def status(
    store: StoreFolder = DEFAULT_STORE,
    *,
    sizes: Annotated[bool, typer.Option("--sizes", help="Totals of everything in the store, and what is free")] = False,
) -> None:
    """What the store holds: sizes, times, what is under way.

    [bold]Examples[/]

      [cyan]wavlm status --store /data/store[/]

      [cyan]wavlm status --sizes[/]   what takes how much; `wavlm gc` says what may go
    """
    from flows.cli.inventory import list_broken, list_complete, list_under_way

    artifact_store = Store(store)
    if not artifact_store.root.is_dir():
        console.out.print(f"{artifact_store.root}: nothing yet, there is no such folder", markup=False, soft_wrap=True)
        return
    if sizes:
        console.out.print(_sizes_table(artifact_store))
        return
    table = Table("artifact", "files", "size", "took", "made", title=escape(str(artifact_store.root)), box=None)
    table.columns[0].overflow = "fold"
    for item in list_complete(artifact_store):
        table.add_row(item.folder, str(item.num_files), item.size, item.took, item.made)
    console.out.print(table)
    for line in list_broken(artifact_store):
        console.out.print(line, highlight=False, soft_wrap=True, markup=False)
    for line in list_under_way(artifact_store):
        console.out.print(line, highlight=False)


def _sizes_table(store: Store) -> Table:
    from flows.cli.inventory import list_totals, size_text

    free = size_text(shutil.disk_usage(store.root).free)
    table = Table(
        "place", "items", "size", title=escape(str(store.root)), caption=f"{free} free on this disk", box=None
    )
    table.columns[1].justify = table.columns[2].justify = "right"
    totals = list(list_totals(store))
    for item in totals:
        table.add_row(escape(item.place), str(item.num_items), size_text(item.num_bytes))
    table.add_row("[bold]all[/]", "", size_text(sum(item.num_bytes for item in totals)))
    return table


def verify(
    store: StoreFolder = DEFAULT_STORE,
    only: Annotated[str, typer.Option(metavar="TEXT", help="Only artifacts whose folder contains this")] = "",
    mirror: Annotated[
        str, typer.Option(metavar="ADDRESS", help="In place of a store: this mirror; what is there, and its size")
    ] = "",
    *,
    deep: Annotated[bool, typer.Option("--deep", help="With --mirror: read all of it, too")] = False,
) -> None:
    """Hash every file again; exit code 65 if one differs from what was sealed.

    Of a mirror, all that its entries name has to be there with the right size; with --deep it is read and hashed.

    [bold]Examples[/]

      [cyan]wavlm verify[/]

      [cyan]wavlm verify --only shards/[/]

      [cyan]wavlm verify --mirror s3://speech/wavlm[/]
    """
    if mirror:
        verify_mirror(mirror, only, deep=deep)
        return
    from wavlm.errors import EXIT_BAD_DATA
    from wavlm.pipeline.verify import verify as verify_folder
    from wavlm.storage.seals import has_digest

    artifact_store = require_store(store)
    there = list(artifact_store.folders())
    folders = [path for path in there if only in _name(path)]
    if not folders:
        raise _explain_nothing(artifact_store, only, [_name(path) for path in there])
    damaged = []
    with Bars(console=console.err, transient=True) as bars:
        whole = bars.add_task("artifacts", total=len(folders))
        row = bars.add_task("", total=None)
        for folder in folders:
            bars.reset(row, description=_name(folder))
            damaged += verify_folder(folder, lambda done, total: bars.update(row, completed=done, total=total))
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


def require_store(root: Path) -> Store:
    """The store in this folder; raises UsageError (STORE_MISSING) if there is none."""
    store = Store(root)
    if not store.root.is_dir():
        raise UsageError("STORE_MISSING", f"there is no store; at {store.root}; name one by --store or by WAVLM_STORE")
    return store


def _explain_nothing(store: Store, only: str, names: Sequence[str]) -> UsageError:
    what = f"no artifact's folder contains {only!r}" if only else "the store holds no complete artifact"
    parts = {part for name in names for part in (name, *name.split("/"), name.rpartition("-")[0])}
    advice = suggest(only, parts) or ("see them with: wavlm status" if names else "make some, or name another store")
    return UsageError("NOTHING_FITS", f"{what}; at {store.root}; {advice}")


def _name(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"
