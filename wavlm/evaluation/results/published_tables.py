"""Tables of published figures beside ours, for people and for programs: what is comparable stands apart.

A table holds one group of tasks, or one benchmark without a group: all figures side by side are wider than any page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from wavlm.evaluation.results.board import LONG_COLUMNS, OURS, Board, Column, LongRow
from wavlm.evaluation.results.facts import EvaluationFacts
from wavlm.evaluation.results.groups import GROUPS, TASKS, group_of
from wavlm.evaluation.results.published import VERSIONS, PublishedFigure, are_comparable, explain_difference
from wavlm.evaluation.results.words import show_value

Row = dict[str, str]
Chosen = Callable[[EvaluationFacts], bool]
Titled = tuple[str, list[Row]]

COMPARABLE = "published, same data and protocol"
NOT_COMPARABLE = "published, not comparable"
PREFERRED = ("v5", "v1", "readme", "leaderboard", "code", "issue")  # of several versions the first is shown first
FIRST = ("model", "system", "from")
WIDEST = 6  # figures side by side
NOTHING = Board(())


def published_tables(rows: Sequence[PublishedFigure], board: Board = NOTHING) -> list[Titled]:
    """Tables with their titles: published figures that may stand beside results of ours, then all others, by group.

    One row per model and version, one column per figure. Rows that may not be printed are left out whatever is given.
    """
    printable = [row for row in rows if row.is_printable]
    board = _trim(board, {(row.task, row.metric) for row in printable})
    results = _shown(board)
    alike = [row for row in printable if any(are_comparable(row, it) for it in results)]
    others = [row for row in printable if row not in alike]
    protocols = {row.protocol for row in printable if row.protocol}

    def is_like(it: EvaluationFacts) -> bool:
        return it.protocol in protocols and not explain_difference(it)

    def is_apart(it: EvaluationFacts) -> bool:
        return it.protocol in protocols and bool(explain_difference(it))

    return [*_by_group(COMPARABLE, alike, board, is_like), *_by_group(NOT_COMPARABLE, others, board, is_apart)]


def published_long_rows(rows: Iterable[PublishedFigure], board: Board = NOTHING) -> Iterator[LongRow]:
    """Published figures as rows for programs, on the scale of ours.

    `evaluation` names the column of ours that a figure may stand beside; it is empty where there is none.
    """
    for row in rows:
        if row.is_printable:
            alike = [column.label for column in board.columns if _any_comparable(row, column, board)]
            for label in alike or [""]:
                yield _long_row(row, label)


def columns_of(table: Sequence[Row]) -> list[str]:
    """All columns that rows have, in their order: what a row is of comes first."""
    every = dict.fromkeys(column for row in table for column in row)
    return sorted(every, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))


def to_markdown(title: str, table: Sequence[Row]) -> str:
    """A table under its title. Cells that a row lacks are empty."""
    columns = columns_of(table)
    lines = [columns, ["---"] * len(columns), *([row.get(column, "") for column in columns] for row in table)]
    return "\n".join([f"**{title}**", "", *("| " + " | ".join(map(_escape, line)) + " |" for line in lines), ""])


def footnotes(rows: Iterable[PublishedFigure]) -> list[str]:
    """The sources of printable rows, and what is said about single ones, each once."""
    printable = [row for row in rows if row.is_printable]
    sources = dict.fromkeys(f"{VERSIONS[row.version]}: {row.source}" for row in printable)
    notes = dict.fromkeys(f"{row.model}, {row.version}: {row.footnote}" for row in printable if row.footnote)
    return [*sources, *notes]


def differences(board: Board) -> list[str]:
    """Why results of ours stand apart from published ones of their protocol, each once."""
    found = ((result, explain_difference(result)) for result in _shown(board) if result.protocol)
    return list(dict.fromkeys(f"{OURS}, {result.evaluation}: not comparable: {why}" for result, why in found if why))


def _trim(board: Board, published: set[tuple[str, str]]) -> Board:
    """The board with those figures alone that somebody published of the same task."""
    found = []
    for it in board.results:
        figures = tuple(figure for figure in it.facts.figures if (it.facts.task, figure.name) in published)
        found.append(replace(it, facts=it.facts.model_copy(update={"figures": figures})))
    return Board(tuple(found))


def _by_group(title: str, rows: Sequence[PublishedFigure], board: Board, chosen: Chosen) -> Iterator[Titled]:
    """A table per group of SUPERB's tasks, then one of its overall scores, then one per other benchmark."""
    tasks = {it.task for it in rows} | {it.task for it in _shown(board) if chosen(it)}
    found = set(map(_group, tasks))
    first = [*GROUPS, "overall"]
    for group in sorted(found, key=lambda name: (first.index(name) if name in first else len(first), name)):

        def is_here(it: EvaluationFacts, group: str = group) -> bool:
            return chosen(it) and _group(it.task) == group

        published = _published([it for it in rows if _group(it.task) == group])
        yield from _narrow(f"{title}: {group}", [*_ours(board, is_here), *published])


def _narrow(title: str, table: Sequence[Row]) -> Iterator[Titled]:
    """A table that is too wide as several, each without the rows that have nothing in it."""
    figures = [name for name in columns_of(table) if name not in FIRST]
    for start in range(0, len(figures), WIDEST):
        kept = figures[start : start + WIDEST]
        rows = [{it: row[it] for it in row if it in (*FIRST, *kept)} for row in table if row.keys() & set(kept)]
        yield f"{title} ({start // WIDEST + 1})" if start else title, rows


def _group(task: str) -> str:
    return group_of(task) if task in TASKS else task


def _published(rows: Sequence[PublishedFigure]) -> list[Row]:
    """One row per model, system and source: several READMEs that differ give several rows. Models keep their order."""
    models = list(dict.fromkeys(row.model for row in rows))
    ordered = sorted(rows, key=lambda row: (models.index(row.model), row.system, PREFERRED.index(row.version)))
    found: dict[tuple[str, str, str], Row] = {}
    for row in ordered:
        first = {"model": row.model, "system": row.system, "from": row.version}
        line = found.setdefault((row.model, row.system, row.source), {key: first[key] for key in first if first[key]})
        line[_column(row.task, row.metric, row.condition)] = f"{row.value} {row.unit}".strip()
    return list(found.values())


def _ours(board: Board, chosen: Chosen) -> list[Row]:
    """A row per model, as the board tells them apart; one more per evaluation where a task was scored by several."""
    found: dict[tuple[str, str], Row] = {}
    every = [
        (label, column, board.find(it, column)) for it, label in board.subjects.items() for column in board.columns
    ]
    cells = [(label, column, facts) for label, column, facts in every if facts and chosen(facts)]
    counts = Counter(task for task, _ in {(column.task, column.label) for _, column, _ in cells})
    for label, column, facts in cells:
        system = column.label if counts[column.task] > 1 else ""
        first = {"model": label, "system": system, "from": OURS}
        line = found.setdefault((label, system), {key: first[key] for key in first if first[key]})
        for figure in facts.figures:
            line[_column(facts.task, figure.name, "")] = show_value(figure.name, figure.value)
    return list(found.values())


def _shown(board: Board) -> list[EvaluationFacts]:
    """The results that stand in the cells of a board."""
    found = (board.find(subject, column) for subject in board.subjects for column in board.columns)
    return [it for it in found if it]


def _any_comparable(row: PublishedFigure, column: Column, board: Board) -> bool:
    found = (board.find(subject, column) for subject in board.subjects)
    return any(it is not None and are_comparable(row, it) for it in found)


def _long_row(row: PublishedFigure, evaluation: str) -> LongRow:
    note = "; ".join(filter(None, (row.footnote, row.source)))
    named: LongRow = {
        "model": ", ".join(filter(None, (row.model, row.system))),
        "group": _group(row.task),
        "task": row.task,
        "evaluation": evaluation,
        "metric": f"{row.metric} ({row.condition})" if row.condition else row.metric,
        "value": row.number,
        "lower_is_better": int(row.is_lower_better),
        "protocol": row.protocol,
        "source": f"published, {row.version}",
        "note": note,
    }
    return {name: named.get(name) for name in LONG_COLUMNS}


def _column(task: str, metric: str, condition: str) -> str:
    return condition or ("overall" if task == "overall" else f"{task} {metric}")


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|")
