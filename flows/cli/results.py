"""`wavlm results`: the results of evaluations that a store holds, as tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.cli import console
from flows.cli.options import DEFAULT_STORE, StoreFolder
from flows.cli.registry_tables import print_json, print_rows

if TYPE_CHECKING:
    from wavlm.evaluation.results.board import Board

Format = Literal["table", "csv", "json", "markdown"]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(results)


def results(
    *,
    models: Annotated[
        str, typer.Option(metavar="A,B", help="Only these models and baselines, by name or the beginning of a key")
    ] = "",
    suite: Annotated[
        Path | None, typer.Option(metavar="SUITE", help="Only evaluations of this suite: file or shipped name")
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Published figures, too, in tables of their own")
    ] = False,
    form: Annotated[
        Format, typer.Option("--format", help="How to print it; csv and json have a row per figure")
    ] = "table",
    store: StoreFolder = DEFAULT_STORE,
) -> None:
    """Compare what was evaluated: a row per model, a column per task on the same data.

    Figures of other data, splits, heads or fits never stand in one column. Beside each figure stands its interval, and
    beneath the table on how much speech it was measured.

    [bold]Examples[/]

      [cyan]wavlm results --store /data/store[/]

      [cyan]wavlm results --suite demo --format markdown[/]

      [cyan]wavlm results --models wavlm-demo:2,fbank --format csv[/]
    """
    from wavlm.evaluation.results.board import keep, long_rows
    from wavlm.pipeline.scoreboard import choose_subjects, read_stored_results
    from wavlm.pipeline.store import Store
    from wavlm.specs.yaml import find_suite

    names = [item.name for item in find_suite(suite).evaluations] if suite else ()
    wanted = [name for name in models.split(",") if name]
    board = keep(choose_subjects(read_stored_results(Store(store)), wanted), names)
    if form == "json":
        print_json(list(long_rows(board)))
    elif form == "csv":
        console.out.print(_to_csv(list(long_rows(board))), end="", markup=False, highlight=False, soft_wrap=True)
    else:
        _print_tables(board, form, published=published)


def _print_tables(board: Board, form: Format, *, published: bool) -> None:
    from wavlm.evaluation.results.board import notes_of, rows_of
    from wavlm.evaluation.results.published import read_published
    from wavlm.evaluation.results.published_tables import footnotes, published_tables

    if not board.results:
        console.out.print("no evaluation is complete in this store; `wavlm evaluate MODEL SUITE` makes them")
    else:
        _print_table("results", rows_of(board), form)
        _print_lines(list(notes_of(board)), form)
    if published:
        rows = read_published()
        for title, table in published_tables(rows, [it.facts for it in board.results]):
            _print_table(title, table, form)
        _print_lines(footnotes(rows), form)


def _print_table(title: str, rows: Sequence[dict[str, str]], form: Format) -> None:
    from wavlm.evaluation.results.published_tables import to_markdown

    if form == "markdown":
        console.out.print(to_markdown(title, rows), markup=False, highlight=False, soft_wrap=True)
    else:
        print_rows(title, rows)


def _print_lines(lines: Sequence[str], form: Format) -> None:
    for line in lines:
        bullet = "- " if form == "markdown" else ""
        console.out.print(f"{bullet}{line}", markup=False, highlight=False, soft_wrap=True)
    console.out.print("")


def _to_csv(rows: Sequence[dict[str, str | float | int | None]]) -> str:
    from wavlm.evaluation.results.board import LONG_COLUMNS

    text = io.StringIO()
    writer = csv.DictWriter(text, LONG_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
