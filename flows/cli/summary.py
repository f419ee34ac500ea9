"""The summary that ends a run, on the terminal."""

from __future__ import annotations

import shutil
import sys
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


def show_summary(recipe: Path, store: Store, resolved: Recipe | None) -> None:
    """What the store holds of a recipe, what its numbers say, and what to try next.

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
        ("Plots", summary.plots),
        ("Clean and mixed utterances to listen to", summary.listen),
        ("Not made yet", summary.missing),
        ("What to try next", [line.replace("wavlm", _program(), 1) for line in summary.advice]),
    ):
        if lines:
            console.out.print(f"[bold]{title}[/]")
            for line in lines:
                text = str(line).replace("RECIPE", str(recipe))
                console.out.print(f"  {text}", markup=False, highlight=False, soft_wrap=True)


def _program() -> str:
    """What to type for `wavlm`: where a shell would not find it, its path beside this Python."""
    return "wavlm" if shutil.which("wavlm") else str(Path(sys.executable).with_name("wavlm"))
