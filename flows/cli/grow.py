"""`wavlm grow`: what has come into the folder of a corpus becomes a generation of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import Progress as Bars
from rich.table import Table

from flows.cli import console
from flows.cli.complete import complete_recipe
from flows.cli.inventory import size_text
from flows.cli.options import DEFAULT_STORE, StoreFolder

if TYPE_CHECKING:
    from wavlm.corpus.growth.generations import GenerationList
    from wavlm.execution.progress import Progress
    from wavlm.specs import CorpusSpec


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(grow)


def grow(
    what: Annotated[
        Path,
        typer.Argument(
            metavar="CORPUS|RECIPE", help="The file of a corpus, or a recipe", autocompletion=complete_recipe
        ),
    ],
    *,
    compact: Annotated[
        bool, typer.Option("--compact", help="Begin a new list: all shards and labels are made anew")
    ] = False,
    store: StoreFolder = DEFAULT_STORE,
) -> None:
    """Read what is new in the folder of a corpus, and write the next generation into the list beside its spec.

    `run` does the same before it makes shards. Files are hashed and their headers read; nothing is decoded.

    [bold]Examples[/]

      [cyan]wavlm grow data_specs/corpora/my-speech.yaml[/]

      [cyan]wavlm grow my-recipe.yaml --compact[/]   after many removals, or to draw fewer, fuller tars
    """
    from wavlm.pipeline.grow import compact as begin_anew
    from wavlm.pipeline.grow import grow as grow_corpus
    from wavlm.pipeline.grow import read_growing
    from wavlm.pipeline.store import Store

    specs = read_growing(what)
    for spec in specs if compact else ():
        _say_price(spec, begin_anew(spec))
    artifact_store = Store(store)
    with Bars(console=console.err, transient=True) as bars:
        for spec in specs:
            found = grow_corpus(spec, artifact_store, _show_on(bars, spec.name))
            console.out.print(_table(spec, found) if found else _explain_none(spec))


def _show_on(bars: Bars, name: str) -> Progress:
    row = bars.add_task(name, total=None)
    return lambda done, total: bars.update(row, completed=done, total=total)


def _say_price(spec: CorpusSpec, old: GenerationList | None) -> None:
    if old is None:
        console.out.print(f"{spec.name}: a new list begins; the damaged one is kept beside it", highlight=False)
        return
    last = old.facts.generations[-1]
    hours = last.train.hours + last.valid.hours
    console.out.print(
        f"{spec.name}: a new list begins; the old one of {old.latest} generations is kept in {old.folder}. The next "
        f"run makes all shards and labels of {hours:.2f} h anew, and the codebook with them",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _explain_none(spec: CorpusSpec) -> str:
    return (
        f"{spec.name} keeps no list: its spec lies in the folder of the speech, and would change it; name another "
        "folder by `generations` in its source"
    )


def _table(spec: CorpusSpec, found: GenerationList) -> Table:
    table = Table(title=escape(f"{spec.name}: {found.folder}"), title_justify="left", box=None)
    for name in ("generation", "digest", "folder", "added", "changed", "removed", "h train", "h valid"):
        table.add_column(name, justify="left" if name == "digest" else "right")
    for item in found.facts.generations:
        amounts = (f"{item.added.recordings:,}", f"{item.changed:,}", f"{item.removed:,}")
        hours = (f"{item.train.hours:.2f}", f"{item.valid.hours:.2f}")
        table.add_row(str(item.number), item.digest[:12], size_text(item.bytes), *amounts, *hours)
    return table
