"""`wavlm results`: the results of evaluations that a store holds, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        bool, typer.Option("--published", help="Published figures too: tables of their own; in csv and json, rows")
    ] = False,
    form: Annotated[Format, typer.Option("--format", help="csv and json have a row per figure")] = "table",
    layers: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write each model's layer heat map there: PNG and CSV")
    ] = None,
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
    from wavlm.evaluation.results.board import long_rows, to_csv
    from wavlm.evaluation.results.published import read_published
    from wavlm.evaluation.results.published_tables import published_long_rows
    from wavlm.pipeline.scoreboard import choose_subjects, make_board, read_stored_results
    from wavlm.pipeline.store import Store
    from wavlm.specs.yaml import find_suite, list_suites

    suites = list_suites()
    names: list[str] = []
    if suite:
        chosen = find_suite(suite)
        names = [item.name for item in chosen.evaluations]
        suites = {chosen.name: names}
    wanted = [name for name in models.split(",") if name]
    held = Store(store)
    board = make_board(choose_subjects(read_stored_results(held), wanted), held, names)
    if form in ("csv", "json"):
        rows = [*long_rows(board), *published_long_rows(read_published() if published else (), board)]
        if form == "json":
            print_json(rows)
        else:
            console.out.print(to_csv(rows), end="", markup=False, highlight=False, soft_wrap=True)
    else:
        print_board(board, form, suites=suites, published=published)
    if layers is not None:
        _write_layers(board, layers)


def _write_layers(board: Board, folder: Path) -> None:
    """A heat map per model, and the sentence about it, to the other stream: what is printed stays a table."""
    from wavlm.evaluation.heat_map import write_heat_map
    from wavlm.evaluation.results.layers import describe_centres, to_csv
    from wavlm.storage.files import write_text

    folder.mkdir(parents=True, exist_ok=True)
    for subject, label in board.subjects.items():
        found = board.newest(subject)
        name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in label).strip("-")
        if path := write_heat_map(found, folder / f"{name}.png", label):
            write_text(path.with_suffix(".csv"), to_csv(found))
            console.err.print(
                f"{path}: {describe_centres(found, label)}", markup=False, highlight=False, soft_wrap=True
            )


def print_board(
    board: Board, form: Format, *, suites: Mapping[str, Sequence[str]] | None = None, published: bool = False
) -> None:
    """Print a table of results per suite, and what a reader of it has to know. suites: their evaluations, by name."""
    from wavlm.evaluation.results.board import notes_of
    from wavlm.evaluation.results.published import read_published
    from wavlm.evaluation.results.published_tables import differences, footnotes, published_tables
    from wavlm.evaluation.results.tables import by_suite, tables_of

    if not board.results:
        console.out.print("no evaluation is complete in this store; `wavlm evaluate MODEL SUITE` makes them")
    else:
        for suite, part in by_suite(board, suites or {}):
            for title, table in tables_of(suite, part, is_narrow=form == "table"):
                _print_table(title, table, form)
            _print_lines(list(notes_of(part)), form)
    if published:
        rows = read_published()
        for title, table in published_tables(rows, board):
            _print_table(title, table, form)
        _print_lines([*differences(board), *footnotes(rows)], form)


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
