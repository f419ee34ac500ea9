"""`wavlm pin`: the digests of archives whose publisher gives none, and taking one that was replaced."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from flows.cli import console
from flows.cli.complete import complete_recipe
from flows.cli.options import DEFAULT_STORE, StoreFolder

if TYPE_CHECKING:
    from wavlm.specs import CorpusSpec


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(pin)


def pin(
    what: Annotated[
        Path,
        typer.Argument(
            metavar="CORPUS|RECIPE", help="The file of a corpus, or a recipe", autocompletion=complete_recipe
        ),
    ],
    *,
    accept: Annotated[
        str | None, typer.Option("--accept", metavar="SHA256", help="Take a refused download of this digest instead")
    ] = None,
    store: StoreFolder = DEFAULT_STORE,
) -> None:
    """Write the digests of first downloads into the list beside a corpus spec, for other machines.

    It is about archives with `digest_from: first-download`. A run does the same after each download.

    [bold]Examples[/]

      [cyan]wavlm pin data_specs/corpora/voxpopuli-en.yaml[/]

      [cyan]wavlm pin my-recipe.yaml --accept SHA256[/]   the publisher has replaced an archive
    """
    from wavlm.pipeline.pinning import accept_download, list_noted, read_unpinned
    from wavlm.pipeline.store import Store

    specs, artifact_store = read_unpinned(what), Store(store)
    if accept is not None:
        spec, source = accept_download(specs, artifact_store, accept)
        console.out.print(
            f"{spec.name}: {Path(source.urls[0]).name} is now the one with the sha256 {accept}; what was made of the "
            "old one stays under its own keys",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    console.out.print(_table([list_noted(spec, artifact_store) for spec in specs]))


def _table(specs: list[CorpusSpec]) -> Table:
    table = Table(box=None)
    for name in ("corpus", "archives", "known", "list"):
        table.add_column(name, justify="right" if name in ("archives", "known") else "left", overflow="fold")
    for spec in specs:
        known = sum(source.is_known for source in spec.unpinned)
        lists = sorted({source.digests for source in spec.unpinned})
        table.add_row(spec.name, f"{len(spec.unpinned):,}", f"{known:,}", escape(", ".join(lists)))
    return table
