"""Verdicts on disk, and the page about them: counts by area, and each mutant that lives, with the reason."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.mutants.draw import AREAS

Row = dict[str, Any]
HEAD = """\
# Mutants

Does a test notice when a line of code is wrong? `make mutants` draws single changes of the code with a seed
(`tests/mutants/draw.py` has the kinds, and what is left out by rule), and runs for each the tests that run its line.
A mutant that lives is one that no test notices. What lives stands below, with the reason.

"""
# Why a mutant may live, by its place without the line, and what it changes.
REASONS: dict[str, str] = {
    "flows/cli/inventory.py other function: sorted -> list": "what is unfinished is only counted and added up",
    "flows/cli/orchestrated.py constant: 10.0 -> 15.0": "how long a server may take to answer: a length of waiting",
    'tasks/registry/lookup.py argument prefix dropped: tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", '
    "suffix=\".partial\") -> tempfile.mkdtemp(dir=out.parent, suffix='.partial')": "its test needs code that is newer "
    "than the draw; in today's code tests/tasks/registry/test_lookup.py notices it",
    "wavlm/labels/sampling.py constant: 1 -> 2": "only the first row of the slice is used",
    "wavlm/loader/loader.py constant: 16 -> 17": "how many micro-batches are drawn at a time: the stream is the same",
}


class Verdicts:
    """The verdicts of one seed: a file of JSON lines, of which the last one about a mutant counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.rows: dict[str, Row] = {row["name"]: row for row in map(json.loads, lines)}

    @property
    def lived(self) -> list[Row]:
        return [row for row in self.rows.values() if row["verdict"] == "lived"]

    def add(self, row: Row) -> None:
        """Add a verdict, on the disk before the next mutant is tried."""
        self.rows[row["name"]] = row
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def page(verdicts: Verdicts, seed: int) -> str:
    """The text of docs/mutants.md."""
    rows = list(verdicts.rows.values())
    drawn, killed = (Counter(area_of(row) for row in chosen if row["verdict"] in kinds)
                     for chosen, kinds in ((rows, ("lived", "killed")), (rows, ("killed",))))  # fmt: skip
    commits = sorted({row["commit"] for row in rows})
    table = [f"| {area} | {drawn[area]} | {killed[area]} | {drawn[area] - killed[area]} |" for area in AREAS]
    survivors = [
        f"- `{row['name']}`: {REASONS.get(reason_key(row), 'no reason yet')} ({row['tests']} tests ran)"
        for row in verdicts.lived
    ]
    return HEAD + "\n".join(
        [
            f"Seed {seed}, {len(rows)} mutants, tried until {datetime.now(UTC):%Y-%m-%d} at {', '.join(commits)}, "
            f"{sum(row['seconds'] for row in rows) / 60:.0f} minutes in all.",
            "",
            "| area | drawn | killed | live |",
            "|---|---|---|---|",
            *table,
            f"| all | {len(rows)} | {sum(killed.values())} | {len(verdicts.lived)} |",
            "",
            *(["## What lives", "", *survivors, ""] if survivors else []),
        ]
    )


def area_of(row: Row) -> str:
    return next(area for area in AREAS if row["path"].startswith(area))


def reason_key(row: Row) -> str:
    return f"{row['path']} {row['change']}"
