"""The summary that ends a run, on the terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.table import Table

from flows.cli import console
from tasks.registry.current import read_current
from wavlm.pipeline.plan import plan
from wavlm.pipeline.resolve import resolve
from wavlm.pipeline.store import Store
from wavlm.pipeline.summary import summarise
from wavlm.pipeline.tables import tables
from wavlm.specs import Recipe
from wavlm.specs.yaml import read_recipe


def show_summary(recipe: Path, store: Store, resolved: Recipe | None, complete: Callable[[str], str] = str) -> None:
    """What the store holds of a recipe, what its numbers say, and what to try next.

    `complete` makes the commands in a text complete.
    `resolved`: as the run read it. A folder that grew meanwhile would make everything unknown.
    """
    summary = summarise(plan(resolved or resolve(read_recipe(recipe), store)), store, read_current)
    for name, rows in tables(summary):
        columns = list(dict.fromkeys(column for row in rows for column in row))
        table = Table(*columns, title=name, title_justify="left", box=None)
        for row in rows:
            table.add_row(*(str(row.get(column, "")) for column in columns))
        console.out.print(table, "")
    for title, lines in (
        ("What the numbers say", summary.findings),
        ("Registry", sorted({item.uri for item in summary.versions})),
        ("Reports", summary.reports),
        ("Plots", summary.plots),
        ("Clean and mixed utterances to listen to", summary.listen),
        ("Not made yet", summary.missing),
        ("What to try next", [complete(line) for line in summary.advice]),
        ("Look at these first", [complete(line) for line in summary.first]),
    ):
        if lines:
            console.out.print(f"[bold]{title}[/]")
            for line in lines:
                console.out.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
