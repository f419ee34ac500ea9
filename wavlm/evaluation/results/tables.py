"""Tables of a board that a reader can take in: one per suite, and on a terminal one per group of tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from wavlm.evaluation.results.board import MODEL, NO_CLAIMS, OVERALL, Board, Row, keep, rows_of, synthetic_rows_of
from wavlm.evaluation.results.groups import GROUPS, group_of

OTHERS = "other evaluations"
WIDEST = 5  # columns of a table on a terminal, beside the model and the overall score
Titled = tuple[str, list[Row]]


def by_suite(board: Board, suites: Mapping[str, Sequence[str]]) -> list[tuple[str, Board]]:
    """A board per suite, under its name: those that hold most of what was measured first, until all of it is shown.

    suites: their evaluations, by name. An evaluation may be in several. What no suite has comes last.
    """
    left = {it.facts.evaluation for it in board.results}
    found: list[tuple[str, Board]] = []
    while left:
        held = {name: left & set(of_suite) for name, of_suite in suites.items()}
        best = max(held, key=lambda name: (len(held[name]), -len(suites[name]), name), default="")
        if not best or not held[best]:
            found.append((OTHERS if found else "results", keep(board.results, sorted(left))))
            break
        found.append((best, keep(board.results, suites[best])))
        left -= held[best]
    return found


def tables_of(title: str, board: Board, *, is_narrow: bool) -> Iterator[Titled]:
    """The table of claims of a board, and that of synthetic speech; those of each group where one is too wide."""
    for name, rows in ((title, rows_of(board)), (f"{title} {NO_CLAIMS}", synthetic_rows_of(board))):
        labels = {column.label: group_of(column.task) for column in board.columns}
        shown = [label for label in labels if rows and label in rows[0]]
        if not is_narrow or len(shown) <= WIDEST:
            yield from [(name, rows)] if rows else []
            continue
        for group in (*GROUPS, "other"):
            if columns := [label for label in shown if labels[label] == group]:
                yield f"{name}: {group}", [{it: row[it] for it in (MODEL, *columns)} for row in rows]
        if any(row.get(OVERALL) for row in rows):
            yield f"{name}: overall", [{MODEL: row[MODEL], OVERALL: row[OVERALL]} for row in rows]
