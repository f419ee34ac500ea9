"""What became of every file below a corpus: used, or left out with a cause. Nothing vanishes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args

from wavlm.errors import BadDataError
from wavlm.storage.encoding import printable
from wavlm.storage.facts import Facts

EXAMPLES = 5  # names per cause
MOST_SUFFIXES = 20


# Why a file is no recording of the corpus.
Cause = Literal[
    "not-matched",  # audio that the glob does not take
    "bare-samples",  # samples without a header, of which nobody knows the rate
    "hidden",  # audio whose path has a part that begins with a dot
    "no-row",  # the table that says which split it is in does not name it
    "link-broken",  # leads nowhere
    "link-again",  # leads to a folder that many other links lead to
    "special",  # a FIFO, a device or a socket with the name of an audio file
    "unreadable",  # a file or folder without permission, or a disk that fails
    # The rest is as it should be.
    "double",  # another path leads to the same file
    "link-loop",  # leads to a folder that it lies in
    "excluded",  # the layout says that this is not to be used
    "outside",  # audio in folders that the layout does not read
    "unlisted",  # audio that no manifest names
    "container",  # was unpacked: the files in it count
    "other",  # no audio
]
CAUSES: tuple[Cause, ...] = get_args(Cause)
# These may be recordings that somebody misses.
LOST: tuple[Cause, ...] = ("not-matched", "bare-samples", "hidden", "no-row", "link-broken", "link-again", "special")


class LeftOut(Facts):
    """Files that one cause left out."""

    cause: Cause
    files: int  # names; one for a folder or a link that is not entered
    examples: tuple[str, ...]  # the first, printable


class FilesAccount(Facts):
    """Everything below the folder of a corpus: `found` is `used` and all that is left out."""

    found: int
    used: int
    left_out: tuple[LeftOut, ...]
    suffixes: dict[str, int]  # of the files that are left out, the most frequent first; at most 20

    def count(self, *causes: Cause) -> int:
        return sum(item.files for item in self.left_out if item.cause in causes)

    def describe(self, *causes: Cause) -> str:
        """Causes with counts and examples in a line, such as `2 not-matched (a.wav, b.wav)`."""
        chosen = [item for item in self.left_out if item.cause in causes]
        return ", ".join(f"{item.files} {item.cause} ({_examples(item)})" for item in chosen) or "nothing"

    def describe_suffixes(self) -> str:
        """Suffixes with counts in a line, such as `.webm 3, without suffix 1`."""
        return (
            ", ".join(f"{suffix or 'without suffix'} {count}" for suffix, count in self.suffixes.items()) or "no files"
        )


class TableAccount(Facts):
    """What became of the rows of a table. `rows` is the sum of the next five."""

    table: str  # relative path
    rows: int
    by_path: int  # rows that name a recording by its path
    by_stem: int  # by its file name alone, which no other recording has
    duplicates: int  # rows that repeat another one
    ambiguous: int  # rows that may mean several recordings
    left_over: int  # rows that name no recording
    examples: tuple[str, ...]  # of the last three
    without_row: int  # recordings


def left_out(cause: Cause, paths: Iterable[str]) -> LeftOut:
    """The record of the files that one cause left out."""
    names = list(paths)
    return LeftOut(cause=cause, files=len(names), examples=tuple(printable(name) for name in names[:EXAMPLES]))


def add_accounts(one: FilesAccount, other: FilesAccount) -> FilesAccount:
    """The account of two folders together."""
    both = [*one.left_out, *other.left_out]
    merged = []
    for cause in CAUSES:
        mine = [item for item in both if item.cause == cause]
        if mine:
            examples = tuple(name for item in mine for name in item.examples)[:EXAMPLES]
            merged.append(LeftOut(cause=cause, files=sum(item.files for item in mine), examples=examples))
    suffixes = Counter(one.suffixes)
    suffixes.update(other.suffixes)
    return FilesAccount(
        found=one.found + other.found,
        used=one.used + other.used,
        left_out=tuple(merged),
        suffixes=dict(most_suffixes(suffixes)),
    )


def most_suffixes(counts: Counter[str]) -> list[tuple[str, int]]:
    """The most frequent suffixes."""
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_SUFFIXES]


def check_files(account: FilesAccount, max_left_out: float, corpus: str, root: Path) -> None:
    """Raise BadDataError: FILES_UNREADABLE, CORPUS_EMPTY, or FILES_LEFT_OUT for more than this share of the audio."""
    if account.count("unreadable"):
        raise BadDataError(
            "FILES_UNREADABLE",
            f"{corpus} has files or folders that cannot be read: {account.describe('unreadable')}; in "
            f"{root}; give permission, mount the disk, or narrow the layout in the corpus spec",
        )
    if not account.used:
        raise BadDataError(
            "CORPUS_EMPTY",
            f"no recording of {corpus} was found, but {account.describe_suffixes()}; in {root}; check the layout in "
            "the corpus spec",
        )
    lost = account.count(*LOST)
    if lost > max_left_out * (account.used + lost):
        raise BadDataError(
            "FILES_LEFT_OUT",
            f"{lost} of {account.used + lost} audio files of {corpus} are not used: {account.describe(*LOST)}; in "
            f"{root}; widen the layout in the corpus spec, or raise max_left_out, which is {max_left_out}, if this is "
            "meant",
        )


def describe_losses(files: FilesAccount, tables: Iterable[TableAccount]) -> Iterator[str]:
    """Lines for a log: files that may be missed, double ones, and rows that were not joined."""
    for table in tables:
        if lost := table.rows - table.by_path - table.by_stem:
            yield f"{lost} of {table.rows} rows of {table.table} not joined: {'; '.join(table.examples)}"
    for item in files.left_out:
        if item.cause not in ("other", "outside", "excluded", "container"):
            yield f"{item.files} files left out, {item.cause}: {_examples(item)}"


def _examples(item: LeftOut) -> str:
    return ", ".join(item.examples) + (", ..." if item.files > len(item.examples) else "")
