"""Published figures as data, `published.csv`: what may be printed as a paper's, and beside which results of ours.

Each row says where it was read and how sure that is. A row from memory, or one with a doubt, is kept for those who look
for it, and never printed.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wavlm.errors import BadDataError, Code
from wavlm.evaluation.results.facts import EvaluationFacts

FILE = Path(__file__).with_name("published.csv")

Table = Literal["superb", "verification", "diarization", "separation", "recognition"]
Version = Literal["v1", "v5", "readme", "code", "issue", "leaderboard"]
Certainty = Literal["img", "rm", "code", "iss", "2nd", "mem"]
Unit = Literal["%", "x100", "dB", ""]

TABLES: tuple[str, ...] = get_args(Table)
VERSIONS = {
    "v1": "preprint of October 2021",
    "v5": "journal version of 2022",
    "readme": "README of the authors",
    "code": "repository of a system",
    "issue": "measured by a user",
    "leaderboard": "SUPERB's leaderboard, October 2021",
}
CERTAINTIES = {
    "img": "read from a picture of the table",
    "rm": "read in a README",
    "code": "read in code or its results",
    "iss": "read in an issue",
    "2nd": "quoted by others from the paper",
    "mem": "from memory, not confirmed",
}
LOWER_BETTER = frozenset({"eer", "der", "per", "wer", "slot_value_cer", "error_rate", "mcd"})


class PublishedFigure(BaseModel):
    """One figure that somebody published."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: Table
    model: str = Field(min_length=1)
    system: str  # what stands on top of the model, or how it was fitted, where a table has several
    task: str = Field(min_length=1)  # as in evaluations; `overall` for SUPERB's mean
    metric: str = Field(min_length=1)
    condition: str  # what differs inside a task: the list of trials, the number of speakers, the labelled hours
    value: str = Field(pattern=r"^-?\d+(\.\d+)?(E-?\d+)?$")  # as printed
    unit: Unit
    version: Version
    protocol: str  # that of our evaluations which may stand beside it; empty: none
    footnote: str
    source: str = Field(min_length=1)
    certainty: Certainty
    doubt: str  # why it may be wrong; empty: no reason is known

    @property
    def is_printable(self) -> bool:
        """Whether it may be printed as what the source says."""
        return self.certainty != "mem" and not self.doubt

    @property
    def is_lower_better(self) -> bool:
        """Whether the metric is an error or a distance."""
        return self.metric in LOWER_BETTER

    @property
    def subject(self) -> tuple[str, str, str, str, str]:
        """What the figure is of, whoever published it: model, system, task, metric, condition."""
        return self.model, self.system, self.task, self.metric, self.condition

    @property
    def number(self) -> float:
        """The value on the scale of our figures: rates and MTWV from 0 to 1, all others as printed."""
        return float(self.value) / (100 if self.unit in {"%", "x100"} else 1)


def read_published(path: Path = FILE) -> tuple[PublishedFigure, ...]:
    """All rows of a file of published figures, also those that may not be printed.

    Raises BadDataError: PUBLISHED_BAD, with line and column, if a cell is not what its column holds, or a row is there
    twice.
    """
    lines = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
    if tuple(lines.fieldnames or ()) != tuple(PublishedFigure.model_fields):
        raise _bad(
            path, 1, f"columns {', '.join(lines.fieldnames or ['none'])}", ", ".join(PublishedFigure.model_fields)
        )
    found: dict[tuple[str, ...], PublishedFigure] = {}
    for row in lines:
        figure = _parse(row, path, lines.line_num)
        key = (*figure.subject, figure.version, figure.source)
        if key in found:
            raise _bad(
                path, lines.line_num, f"a second row of {', '.join(filter(None, figure.subject))}", "one per source"
            )
        found[key] = figure
    return tuple(found.values())


def select(
    rows: Iterable[PublishedFigure], table: str, *, versions: Sequence[str] = (), tasks: Sequence[str] = ()
) -> list[PublishedFigure]:
    """The rows of a table that may be printed, of some versions and tasks or of all."""
    return [
        row
        for row in rows
        if row.table == table
        and row.is_printable
        and (not versions or row.version in versions)
        and (not tasks or row.task in tasks)
    ]


def are_comparable(row: PublishedFigure, result: EvaluationFacts) -> bool:
    """Whether the two were measured alike: by the same protocol, which names the data too, on all of the data."""
    return bool(row.protocol) and row.protocol == result.protocol and not explain_difference(result)


def explain_difference(result: EvaluationFacts) -> str:
    """Why a result does not compare with published ones of its protocol; empty if it does."""
    cut = "not all of the data was used" if result.was_cut else ""
    return "; ".join(filter(None, (result.deviation, cut)))


def find_conflicts(rows: Iterable[PublishedFigure]) -> dict[tuple[str, ...], list[PublishedFigure]]:
    """What has several values, by subject. Rows from memory are not asked."""
    groups: dict[tuple[str, ...], list[PublishedFigure]] = defaultdict(list)
    for row in rows:
        if row.certainty != "mem":
            groups[row.subject].append(row)
    return {key: group for key, group in groups.items() if len({row.number for row in group}) > 1}


def _parse(row: dict[str, str], path: Path, line: int) -> PublishedFigure:
    try:
        return PublishedFigure.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        column = ".".join(map(str, first["loc"])) or "the row"
        raise _bad(path, line, f"{first['input']!r} in {column}", first["msg"]) from error


def _bad(path: Path, line: int, found: str, expected: str) -> BadDataError:
    return BadDataError(
        Code.PUBLISHED_BAD, f"found {found}, expected {expected}; in line {line} of {path}; correct that line"
    )
