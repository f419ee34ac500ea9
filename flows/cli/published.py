"""Published figures on the terminal, beside results of ours where both were measured alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.markup import escape
from rich.table import Table

from wavlm.evaluation.results.facts import EvaluationFacts
from wavlm.evaluation.results.published import PublishedFigure
from wavlm.evaluation.results.published_tables import NOT_COMPARABLE, columns_of, published_tables


def rich_tables(rows: Sequence[PublishedFigure], results: Sequence[EvaluationFacts] = ()) -> Iterator[Table]:
    """Up to two tables; the title of the second one says that nothing in it can be compared with ours."""
    for title, found in published_tables(rows, results):
        columns = columns_of(found)
        style = "yellow" if title == NOT_COMPARABLE else "bold"
        table = Table(*columns, title=title, title_justify="left", title_style=style, box=None)
        for row in found:
            table.add_row(*(escape(row.get(column, "")) for column in columns))
        yield table
