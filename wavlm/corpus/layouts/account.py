"""What became of every file below a corpus: used, or left out with a cause. Nothing vanishes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path

from wavlm.errors import BadDataError
from wavlm.storage.encoding import printable
from wavlm.storage.facts import Facts

EXAMPLES = 5  # names per cause


class Cause(StrEnum):
    """Why a file is no recording of the corpus."""

    NOT_MATCHED = "not-matched"  # audio that the glob does not take
    BARE = "bare-samples"  # samples without a header, of which nobody knows the rate
    HIDDEN = "hidden"  # audio whose path has a part that begins with a dot
    NO_ROW = "no-row"  # the table that says which split it is in does not name it
    LINK_BROKEN = "link-broken"  # leads nowhere
    LINK_AGAIN = "link-again"  # leads to a folder that many other links lead to
    SPECIAL = "special"  # a FIFO, a device or a socket with the name of an audio file
    UNREADABLE = "unreadable"  # a file or folder without permission, or a disk that fails
    # The rest is as it should be.
    DOUBLE = "double"  # another path leads to the same file
    LINK_LOOP = "link-loop"  # leads to a folder that it lies in
    EXCLUDED = "excluded"  # the layout says that this is not to be used
    OUTSIDE = "outside"  # audio in folders that the layout does not read
    OTHER = "other"  # no audio


# These may be recordings that somebody misses.
LOST = (
    Cause.NOT_MATCHED,
    Cause.BARE,
    Cause.HIDDEN,
    Cause.NO_ROW,
    Cause.LINK_BROKEN,
    Cause.LINK_AGAIN,
    Cause.SPECIAL,
)


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


def check_files(account: FilesAccount, max_left_out: float, corpus: str, root: Path) -> None:
    """Raise BadDataError: FILES_UNREADABLE, or FILES_LEFT_OUT for more than this share of the audio files."""
    if account.count(Cause.UNREADABLE):
        raise BadDataError(
            "FILES_UNREADABLE",
            f"{corpus} has files or folders that cannot be read: {account.describe(Cause.UNREADABLE)}; in "
            f"{root}; give permission, mount the disk, or narrow the layout in the corpus spec",
        )
    lost = account.count(*LOST)
    if lost > max_left_out * (account.used + lost):
        raise BadDataError(
            "FILES_LEFT_OUT",
            f"{lost} of {account.used + lost} audio files of {corpus} are not used: {account.describe(*LOST)}; in "
            f"{root}; widen the layout in the corpus spec, or raise max_left_out, which is {max_left_out}, if this is "
            "meant",
        )


def describe_losses(account: FilesAccount) -> Iterator[str]:
    """Lines for a log: what may be missed, and double links."""
    for item in account.left_out:
        if item.cause not in (Cause.OTHER, Cause.OUTSIDE, Cause.EXCLUDED):
            yield f"{item.files} files left out, {item.cause}: {_examples(item)}"


def _examples(item: LeftOut) -> str:
    return ", ".join(item.examples) + (", ..." if item.files > len(item.examples) else "")
