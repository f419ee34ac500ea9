"""Tables about recordings: texts, speakers, languages and splits of recordings, and their timed phones.

Nothing is joined that is in doubt. What is left over is counted, and above a bound it is an error.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path, PurePosixPath

from wavlm.corpus.layouts.account import TableAccount
from wavlm.corpus.layouts.join import Names, Tally
from wavlm.corpus.layouts.names import find_spelled, normal
from wavlm.corpus.layouts.recording import Phone
from wavlm.corpus.layouts.rows import SPLITS, RowError
from wavlm.corpus.layouts.table import Row, read_table, shorten, table_fault
from wavlm.corpus.layouts.target import add_class
from wavlm.corpus.layouts.tree import Tree
from wavlm.errors import BadDataError
from wavlm.storage.encoding import printable

# Phones of one recording follow each other. If two overlap by more, they belong to two recordings of one name.
MAX_OVERLAP_SECONDS = 0.02
PHONE_COLUMNS = ("start_s", "end_s", "phone")


@dataclass(frozen=True)
class Listed:
    """What a table says about a recording."""

    text: str | None = None
    speaker: str = ""
    language: str | None = None
    split: str | None = None
    part: str = ""
    target: str | None = None


@dataclass(frozen=True)
class Columns:
    """Names of columns. Empty: the table does not have it."""

    recording: str
    text: str = ""
    speaker: str = ""
    language: str = ""
    split: str = ""
    part: str = ""
    class_: str = ""
    target: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Those that the table has; the first names the recording. A column may serve twice."""
        return tuple(filter(None, (getattr(self, field.name) for field in fields(self))))


@dataclass(frozen=True)
class Bounds:
    """What may be missing: fractions of the rows, and of the recordings."""

    left_over_rows: float
    without_row: float


def join_recordings(
    tree: Tree, paths: Sequence[PurePosixPath], table: str, columns: Columns, bounds: Bounds
) -> dict[PurePosixPath, Listed]:
    """What a table says about each recording that it names. Adds its account to the tree.

    Raises BadDataError: LAYOUT for what cannot be read or says two things about one recording, TABLE_JOIN above the
    bounds.
    """
    path = find_spelled(tree.root, table)
    names, tally = _names(tree, path, paths), Tally(table)
    first: dict[PurePosixPath, Row] = {}
    for row in read_table(path, columns.names):
        fate, found = names.find(row.values[0])
        if found is not None and first.setdefault(found, row) is not row:
            fate = "duplicate"
            if first[found].values[1:] != row.values[1:]:
                raise _conflict(path, row, first[found], found)
        tally.add(fate, row.values[0], row.line)
    tree.tables.append(check_bounds(path, tally.account(len(paths) - len(first)), bounds, len(paths)))
    return {found: _listed(columns, path, row) for found, row in first.items()}


def join_phones(
    tree: Tree, paths: Sequence[PurePosixPath], table: str, columns: Columns, bounds: Bounds
) -> dict[PurePosixPath, tuple[Phone, ...]]:
    """The timed phones of each recording that a table names, by start. Adds its account to the tree.

    Raises BadDataError as `join_recordings`. Phones of two recordings are never merged.
    """
    path = find_spelled(tree.root, table)
    names, tally = _names(tree, path, paths), Tally(table)
    first: dict[PurePosixPath, Row] = {}
    segments: dict[PurePosixPath, set[Phone]] = defaultdict(set)
    for row in read_table(path, (columns.recording, *PHONE_COLUMNS)):
        phone = _phone(path, row)
        fate, found = names.find(row.values[0])
        if found is not None:
            if first.setdefault(found, row).values[0] != row.values[0]:
                raise _conflict(path, row, first[found], found)
            if phone in segments[found]:
                fate = "duplicate"
            segments[found].add(phone)
        tally.add(fate, row.values[0], row.line)
    tree.tables.append(check_bounds(path, tally.account(len(paths) - len(first)), bounds, len(paths)))
    return {found: order_phones(path, str(found), phones) for found, phones in segments.items()}


def _names(tree: Tree, table: Path, paths: Sequence[PurePosixPath]) -> Names:
    return Names(paths, PurePosixPath(table.relative_to(tree.root)).parent)


def _listed(columns: Columns, path: Path, row: Row) -> Listed:
    values = iter(row.values[1:])
    text = next(values) if columns.text else None
    speaker = next(values).strip() if columns.speaker else ""
    language = next(values).strip() if columns.language else None
    split = next(values).strip().lower() if columns.split else None
    if split is not None and split not in SPLITS:
        raise table_fault(path, row.line, f"a split {shorten(split)!r}", f"expected one of {', '.join(SPLITS)}")
    part, class_, target = (
        next(values).strip() if name else "" for name in (columns.part, columns.class_, columns.target)
    )
    try:
        made = add_class(target, class_)
    except RowError as error:
        raise table_fault(path, row.line, str(error), error.advice) from error
    return Listed(
        text,
        printable(normal(speaker)),
        language or None,
        None if split is None else SPLITS[split],
        printable(normal(part)),
        made,
    )


def _phone(path: Path, row: Row) -> Phone:
    try:
        phone = Phone(_seconds(row.values[1]), _seconds(row.values[2]), row.values[3])
    except ValueError as error:
        what = f"times are not numbers: {shorten(row.values[1])!r}, {shorten(row.values[2])!r}"
        raise table_fault(path, row.line, what, "correct the row") from error
    if not (phone.phone and 0 <= phone.start_s <= phone.end_s < math.inf):
        what = f"a phone {shorten(phone.phone)} from {phone.start_s} to {phone.end_s} s"
        raise table_fault(path, row.line, what, "expected one with a name and 0 <= start <= end")
    return phone


def _seconds(text: str) -> float:
    """Raises ValueError for anything but a number. Python would also read `1_0`."""
    if "_" in text:
        raise ValueError(text)
    return float(text)


def order_phones(path: Path, recording: str, phones: Iterable[Phone]) -> tuple[Phone, ...]:
    """The phones of one recording by start, without repetitions. Raises BadDataError (LAYOUT) if they overlap."""
    ordered = tuple(sorted(set(phones)))
    for one, following in pairwise(ordered):
        if one.end_s - following.start_s > MAX_OVERLAP_SECONDS:
            raise BadDataError(
                "LAYOUT",
                f"the phones {one.phone} ({one.start_s} to {one.end_s} s) and {following.phone} "
                f"({following.start_s} to {following.end_s} s) of {printable(recording)} overlap, as those of two "
                f"recordings do; in {printable(str(path))}; name recordings by their paths, or correct the times",
            )
    return ordered


def _conflict(path: Path, row: Row, first: Row, recording: PurePosixPath) -> BadDataError:
    return table_fault(
        path,
        row.line,
        f"{shorten(row.values[0])} and line {first.line}, {shorten(first.values[0])}, say different things about "
        f"{printable(str(recording))}",
        "delete one of the rows, or name recordings by their relative paths",
    )


def check_bounds(path: Path, account: TableAccount, bounds: Bounds, recordings: int) -> TableAccount:
    """The account, if it is within the bounds."""
    lost = account.duplicates + account.ambiguous + account.left_over
    if lost > bounds.left_over_rows * account.rows:
        raise BadDataError(
            "TABLE_JOIN",
            f"{account.left_over} of {account.rows} rows name no recording, {account.ambiguous} may mean several, "
            f"{account.duplicates} repeat another row: {'; '.join(account.examples)}; in {printable(str(path))}; name "
            "recordings by their paths below the corpus, or raise max_left_over_rows in the corpus spec, which is "
            f"{bounds.left_over_rows}",
        )
    if account.without_row > bounds.without_row * recordings:
        raise BadDataError(
            "TABLE_JOIN",
            f"{account.without_row} of {recordings} recordings have no row; in {printable(str(path))}; complete the "
            f"table, or raise max_without_row in the corpus spec, which is {bounds.without_row}",
        )
    return account
