"""Spoken digits for a first look at a board: four recordings of each digit by each speaker (Free Spoken Digit Dataset).

The folder has `digits.tsv` with the columns path, speaker and digit, and the recordings.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

RECORDINGS_PER_DIGIT = 4


@dataclass(frozen=True)
class Digit:
    """One recording."""

    path: Path
    speaker: str
    digit: int


def read_digits(folder: Path) -> list[Digit]:
    """The first recordings of each speaker and digit, in the order of their paths."""
    with (folder / "digits.tsv").open(newline="", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file, delimiter="\t"), key=lambda row: row["path"])
    found: dict[tuple[str, int], list[Digit]] = {}
    for row in rows:
        digit = Digit(folder / row["path"], row["speaker"], int(row["digit"]))
        found.setdefault((digit.speaker, digit.digit), []).append(digit)
    return [digit for group in found.values() for digit in group[:RECORDINGS_PER_DIGIT]]
