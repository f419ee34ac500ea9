"""Trials: pairs of recordings of which a task says whether they go together. Readers of lists yield them."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from pathlib import PurePosixPath
from typing import NamedTuple, TypeVar

from wavlm.corpus.layouts.join import Tally
from wavlm.corpus.layouts.rows import RowError, parse_rows
from wavlm.corpus.layouts.table import read_lines, shorten, table_fault
from wavlm.corpus.layouts.tree import Tree

ANSWERS = {"1": True, "0": False}

Item = TypeVar("Item")


class Trial(NamedTuple):
    """One pair: of two voices, or of a spoken query and a recording that may hold it."""

    list: str  # name of the list, such as `vox1-o`
    enrol: str  # key of a recording
    test: str  # key of a recording
    is_target: bool


def read_trial_lines(
    tree: Tree, path: PurePosixPath, parse: Callable[[int, str], Trial], first_line: int = 1
) -> Iterator[Trial]:
    """The trial of each line of a list that is not blank, from a line on. Adds its account to the tree.

    Raises BadDataError (LAYOUT) for a list without trials, and with all lines that `parse` refuses.
    """
    tally, where = Tally(str(path)), tree.root / path

    def take(line: int, text: str) -> Iterator[Trial]:
        trial = parse(line, text)
        tally.add("path", "", line)
        yield trial

    lines = ((number, line) for number, line in read_lines(where) if number >= first_line and line.strip())
    yield from parse_rows(where, lines, take)
    account = tally.account(0)
    if not account.rows:
        raise table_fault(where, 0, "it has no trials", "fetch it again, or do not name it in the corpus spec")
    tree.tables.append(account)


def require_recording(key: str, name: str, keys: Container[str]) -> str:
    """A key that the corpus has. `name`: what the list calls it. Raises RowError for one that it lacks."""
    if key not in keys:
        raise RowError(
            f"a trial names {shorten(name)}, which is no recording of the corpus",
            "fetch what is missing, or do not name this list in the corpus spec",
        )
    return key


def to_answer(text: str) -> bool:
    """Whether a pair goes together: 1 or 0. Raises RowError for anything else."""
    if text not in ANSWERS:
        raise RowError(f"is_target is {shorten(text)!r}", "expected 0 or 1")
    return ANSWERS[text]
