"""What was tried, on disk: a file of JSON lines per commit, so that a campaign goes on where it was stopped."""

from __future__ import annotations

import json
import subprocess
import zlib
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[2]
Verdict = Literal["held", "FAILED"]


@dataclass(frozen=True)
class Result:
    """One trial."""

    row: str
    point: int
    of: int  # points that there are; 0: without end
    verdict: Verdict
    trials: int  # faults that were injected in it
    detail: str
    seconds: float
    date: str
    commit: str
    cpu_seconds: float = 0.0  # of all processes that were waited for


class Results:
    """The trials of one file; the last one about a point counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self._found = {(item.row, item.point): item for item in (Result(**json.loads(line)) for line in lines)}

    def has(self, row: str, point: int) -> bool:
        """Whether the point was tried."""
        return (row, point) in self._found

    def add(self, result: Result) -> None:
        """Add a trial, on the disk before the next one."""
        self._found[result.row, result.point] = result
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(result)) + "\n")

    def by_row(self) -> dict[str, list[Result]]:
        """The trials of each row."""
        found = defaultdict(list)
        for item in self._found.values():
            found[item.row].append(item)
        return dict(found)


def share_of(row: str, point: int, of: int) -> int:
    """Which of so many campaigns side by side tries a point: 1 to `of`."""
    return 1 + zlib.crc32(f"{row} {point}".encode()) % of


def current_commit() -> str:
    """The short name of the commit, with `-dirty` if files were changed; the page that a campaign writes is none."""
    name = _git("describe", "--always", "--exclude", "*").stdout.strip()
    is_changed = _git("diff", "--quiet", "HEAD", "--", ".", ":!docs/faults.md").returncode != 0
    return f"{name}-dirty" if is_changed else name


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
