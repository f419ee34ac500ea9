"""Tables of published figures beside ours, as rows of text and as Markdown: what is comparable stands apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wavlm.evaluation.results.facts import EvaluationFacts
from wavlm.evaluation.results.published import VERSIONS, PublishedFigure, are_comparable, explain_difference
from wavlm.evaluation.results.words import show_value

Row = dict[str, str]

COMPARABLE = "published, same data and protocol"
NOT_COMPARABLE = "published, not comparable"
PREFERRED = ("v5", "v1", "readme", "leaderboard", "code", "issue")  # of several versions the first is shown first
OURS = "ours"
FIRST = ("model", "system", "from")


def published_tables(
    rows: Sequence[PublishedFigure], results: Sequence[EvaluationFacts] = ()
) -> list[tuple[str, list[Row]]]:
    """Up to two tables, each with its title: published figures that may stand beside results of ours, and all others.

    One row per model and version, one column per figure. Rows that may not be printed are left out whatever is given.
    """
    printable = [row for row in rows if row.is_printable]
    alike = [row for row in printable if any(are_comparable(row, result) for result in results)]
    protocols = {row.protocol for row in printable if row.protocol}
    known = [result for result in results if result.protocol in protocols]
    ours = [result for result in known if not explain_difference(result)]
    apart = [result for result in known if explain_difference(result)]
    others = [row for row in printable if row not in alike]
    named = ((COMPARABLE, [*_ours(ours), *_published(alike)]), (NOT_COMPARABLE, [*_ours(apart), *_published(others)]))
    return [(title, table) for title, table in named if table]


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


def differences(results: Iterable[EvaluationFacts]) -> list[str]:
    """Why results of ours stand apart from published ones of their protocol, each once."""
    found = ((result, explain_difference(result)) for result in results if result.protocol)
    return list(
        dict.fromkeys(f"{OURS}, {result.evaluation}: not comparable, for {why}" for result, why in found if why)
    )


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


def _ours(results: Iterable[EvaluationFacts]) -> list[Row]:
    found: dict[str, Row] = {}
    for result in results:
        line = found.setdefault(result.subject, {"model": result.subject, "from": OURS})
        for figure in result.figures:
            line[_column(result.task, figure.name, "")] = show_value(figure.name, figure.value)
    return list(found.values())


def _column(task: str, metric: str, condition: str) -> str:
    return condition or ("overall" if task == "overall" else f"{task} {metric}")


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|")
