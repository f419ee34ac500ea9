"""docs/faults.md, from the catalogue and from what was tried."""

from __future__ import annotations

from collections.abc import Sequence

from tests.faults.catalogue import Catalogue, Goal, Row
from tests.faults.results import Result

HEAD = """\
# Faults

`make faults` injects the faults of `tests/faults/catalogue.yaml` and writes this page. How to read it, and what is
promised: [reliability.md](reliability.md). A row that no trial was made of says `not tried`.

"""
ByRow = dict[str, list[Result]]


def page(catalogue: Catalogue, tried: ByRow) -> str:
    """The text of docs/faults.md."""
    all_tried = [item for row in catalogue.rows for item in tried.get(row.id, [])]
    return HEAD + "\n".join(
        [
            *_summary(all_tried),
            "## Goals",
            "",
            "| goal | wanted | trials | failed | reached | what |",
            "|---|---|---|---|---|---|",
            *(_goal(goal, catalogue, tried) for goal in catalogue.goals),
            "",
            "## Faults, one row each",
            "",
            "| fault | stage | role | points tried | promise | result | goal | date | commit | seconds |",
            "|---|---|---|---|---|---|---|---|---|---|",
            *(_row(row, tried.get(row.id, [])) for row in catalogue.rows),
            "",
            *_failures(catalogue, tried),
        ]
    )


def _summary(tried: Sequence[Result]) -> list[str]:
    if not tried:
        return ["Nothing was tried yet.", ""]
    seconds, busy = (sum(each) for each in zip(*((item.seconds, item.cpu_seconds) for item in tried), strict=True))
    failed = sum(item.trials for item in tried if item.verdict == "FAILED")
    rows = len({item.row for item in tried})
    return [
        f"{_count(tried):,} faults injected in {rows} rows, {failed} failed; {seconds / 60:.0f} minutes of trials, "
        f"{busy / 60:.0f} of them on a processor; last on {max(item.date for item in tried)}.",
        "",
    ]


def _goal(goal: Goal, catalogue: Catalogue, tried: ByRow) -> str:
    rows = [row for row in catalogue.rows if row.goal == goal.id]
    found = [item for row in rows for item in tried.get(row.id, [])]
    failed = sum(item.trials for item in found if item.verdict == "FAILED")
    missing = [row.id for row in rows if row.id not in tried]
    count = _count(found)
    reached = "yes" if count >= goal.points and not failed and not missing else "no"
    if not found:
        reached = "not tried"
    elif reached == "no" and missing:
        reached = f"no, {len(missing)} rows not tried"
    return f"| {goal.id} | {goal.points:,} | {count:,} | {failed} | {reached} | {goal.text} |"


def _row(row: Row, found: Sequence[Result]) -> str:
    head = f"| {row.fault} | {row.stage} | {row.role} |"
    if not found:
        return f"{head} 0 | {row.promise} | not tried | {row.goal} | | | |"
    failed = [item for item in found if item.verdict == "FAILED"]
    most = max(item.of for item in found)
    result = f"**FAILED** ({len(failed)} of {len(found)})" if failed else "held"
    points = f"{_count(found):,}" + (f" (at {len(found):,} of {most:,})" if most else "")
    dates, commits = (
        ", ".join(sorted({item.date for item in found})),
        ", ".join(sorted({item.commit for item in found})),
    )
    return f"{head} {points} | {row.promise} | {result} | {row.goal} | {dates} | {commits} | {_seconds(found)} |"


def _failures(catalogue: Catalogue, tried: ByRow) -> list[str]:
    failed = [item for row in catalogue.rows for item in tried.get(row.id, []) if item.verdict == "FAILED"]
    if not failed:
        return []
    lines = [f"- {item.row}, point {item.point}: {' '.join(item.detail.split())[:300]}" for item in failed]
    return ["## What failed", "", *lines, ""]


def _seconds(found: Sequence[Result]) -> str:
    return f"{sum(item.seconds for item in found):,.0f}"


def _count(found: Sequence[Result]) -> int:
    return sum(item.trials for item in found)
