"""`wavlm report`: the page of an iteration, to look at and to listen to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import console
from flows.cli.complete import complete_iteration
from flows.cli.hints import Given
from flows.cli.options import DEFAULT_STORE, StoreFolder

if TYPE_CHECKING:
    from wavlm.pipeline.store import Store

DEFAULT_OUT = Path("reports")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(report)


def report(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(metavar="RECIPE|MODEL", help="A recipe, or a registered NAME, NAME:VERSION or NAME@ALIAS"),
    ],
    *,
    iteration: Annotated[
        int | None, typer.Option(min=1, help="Only this iteration of a recipe", autocompletion=complete_iteration)
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the pages go")] = DEFAULT_OUT,
    store: StoreFolder = DEFAULT_STORE,
) -> None:
    """Write one page per iteration: data, labels, curves, layers, mixtures to listen to, lineage, how to repeat it.

    Of a recipe: FOLDER/<recipe>/iteration<N>/report.html, from the store. Of a model: FOLDER/<name>/version<N>/
    report.html, the page that was registered with it. A page needs no network and no other file.

    [bold]Examples[/]

      [cyan]wavlm report data_specs/recipes/demo.yaml[/]

      [cyan]wavlm report wavlm-demo@champion --out pages[/]
    """
    from wavlm.pipeline.store import Store

    artifact_store = Store(store)
    if _names_recipe(what):
        Given.of(context).recipe = what
        paths = _of_recipe(Path(what), artifact_store, iteration, out)
    else:
        paths = iter([_of_model(what, artifact_store, iteration, out)])
    for path in paths:
        console.out.print(str(path), markup=False, highlight=False, soft_wrap=True)


def _of_recipe(recipe: Path, store: Store, iteration: int | None, out: Path) -> Iterator[Path]:
    from tasks.report import make_reports
    from wavlm.pipeline.artifacts import Model
    from wavlm.pipeline.known import require_known
    from wavlm.pipeline.plan import plan
    from wavlm.pipeline.selection import select
    from wavlm.specs.yaml import read_recipe

    resolved = require_known(read_recipe(recipe), store)
    chosen = select(plan(resolved), "pretrain", iteration, None)
    yield from make_reports([item for item in chosen if isinstance(item, Model)], resolved, store, out / resolved.name)


def _of_model(reference: str, store: Store, iteration: int | None, out: Path) -> Path:
    from tasks.report import fetch_report
    from wavlm.errors import UsageError

    if iteration is not None:
        raise UsageError(
            "NOTHING_FITS",
            f"--iteration belongs to a recipe; with the model {reference}; leave it out, or write NAME:VERSION",
        )
    try:
        return fetch_report(reference, store, out)
    except UsageError as error:
        error.add_note(f"nor is it a recipe: a file, or one of {', '.join(_shipped_recipes())}")
        raise


def _names_recipe(what: str) -> bool:
    """Whether this is a file, looks like one, or is a shipped recipe's name; a recipe goes before a model."""
    from wavlm.specs.lookup import is_file

    path = Path(what)
    return is_file(path) or len(path.parts) > 1 or path.suffix in (".yaml", ".yml") or what in _shipped_recipes()


def _shipped_recipes() -> list[str]:
    from wavlm.specs.lookup import names_in, shipped_specs

    return names_in(shipped_specs() / "recipes")
