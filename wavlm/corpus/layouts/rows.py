"""Rows of manifests: what one row says, and the lines that say nothing usable.

A row that is wrong is named with its file and line. All of a file are looked at before it is refused, so that they can
be mended at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TypeVar

from wavlm.corpus.layouts.names import normal
from wavlm.corpus.layouts.table import shorten
from wavlm.errors import BadDataError
from wavlm.storage.encoding import printable

NAMED_LINES = 10  # bad lines that a message names; the rest is counted

# What tables call the three splits.
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "validation", "val", "dev", "development"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_COMMAND = re.compile(r"\|\s*$|^\s*\||^pipe:|^-$", re.IGNORECASE)
_ADDRESS = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_ARCHIVED = re.compile(r"\.(?:ark|zip):\d+", re.IGNORECASE)
_UNUSABLE = re.compile("[\0\ud800-\udfff]")  # NUL, and halves of letters: JSON can spell them
_NUMBERED = frozenset({".parquet", ".arrow"})  # files that have rows and no lines

Item = TypeVar("Item")
Made = TypeVar("Made")


MAX_CHANNEL = 2**15 - 1  # what a manifest can hold


class RowError(ValueError):
    """A row cannot be used: what is wrong with it, and what to do."""

    def __init__(self, what: str, advice: str = "correct the row") -> None:
        super().__init__(what)
        self.advice = advice


@dataclass(frozen=True)
class Entry:
    """One row of a manifest: a region of an audio file, as the manifest names it.

    Raises RowError for what no file can be, and for times and channels that are no numbers of their kind. A region that
    is empty or lies outside of the file is the shards stage's business, which refuses it with a reason.
    """

    line: int
    audio: str
    name: str = ""  # of the utterance; empty: made of the path and the region
    start_s: float | None = None
    end_s: float | None = None
    channel: int | None = None  # counted from 1
    speaker: str = ""
    language: str = ""
    text: str | None = None
    split: str | None = None
    part: str = ""
    target: str | None = None
    is_missing: bool = False  # it is known that there is no such audio

    def __post_init__(self) -> None:
        if not self.is_missing:
            refuse_audio(self.audio)
        for what in (self.name, self.speaker, self.language, self.text or "", self.part, self.target or ""):
            if _UNUSABLE.search(what):
                raise RowError(f"{shorten(what)!r} holds a NUL or half a letter", "write it as UTF-8 text")
        check_region(self.start_s, self.end_s, self.channel)


def check_region(start_s: float | None, end_s: float | None, channel: int | None) -> None:
    """Raise RowError for times and a channel that no file can have."""
    for seconds in (start_s, end_s):
        if seconds is not None and not 0 <= seconds < math.inf:
            raise RowError(f"a time of {seconds} s", "expected 0 or more seconds")
    if channel is not None and not 1 <= channel <= MAX_CHANNEL:
        raise RowError(f"channel {channel}, counted from 1", "correct the channel")


def refuse_audio(audio: str) -> None:
    """Raise RowError for audio that is no file: a command, an address, a place in an archive, or nothing."""
    if not audio.strip():
        raise RowError("no audio file is named")
    if _COMMAND.search(audio):
        raise RowError(
            f"the audio is a command, which is never run: {shorten(audio)}", "write what it prints to a file, name that"
        )
    if _ADDRESS.search(audio):
        raise RowError(f"the audio is an address, which is not fetched: {shorten(audio)}", "fetch it, name the file")
    if _ARCHIVED.search(audio):
        raise RowError(
            f"the audio lies in an archive: {shorten(audio)}",
            "write each recording to a file of its own, as kaldiio or wav-copy do, and name that",
        )
    if _UNUSABLE.search(audio):
        raise RowError(f"a path with a NUL or half a letter: {shorten(audio)!r}", "name a file")


def parse_rows(
    path: Path, rows: Iterable[tuple[int, Item]], parse: Callable[[int, Item], Iterable[Made]]
) -> Iterator[Made]:
    """What `parse` makes of each row. Raises BadDataError (LAYOUT) at the end, for all rows that it refused."""
    faults = Faults(path)
    for line, row in rows:
        try:
            yield from parse(line, row)
        except RowError as error:
            faults.add(line, error)
    faults.check()


class Faults:
    """The bad lines of one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = 0
        self._named: list[str] = []
        self._advice: dict[str, None] = {}

    def add(self, line: int, error: RowError) -> None:
        """Note a line. The first ones are named."""
        self._count += 1
        if len(self._named) < NAMED_LINES:
            self._named.append(f"{word_for(self._path)} {line}: {error}")
            self._advice[error.advice] = None

    def check(self) -> None:
        """Raise BadDataError (LAYOUT) if there are any."""
        if not self._count:
            return
        rest = f", and {self._count - len(self._named)} more" if self._count > len(self._named) else ""
        advice = "; or ".join(self._advice)
        raise BadDataError("LAYOUT", f"{' | '.join(self._named)}{rest}; in {printable(str(self._path))}; {advice}")


def word_for(path: PurePath) -> str:
    """What the rows of a file are counted in."""
    return "row" if path.suffix.lower() in _NUMBERED else "line"


def to_seconds(value: object, name: str) -> float | None:
    """A time in seconds of a cell or of a JSON value; None if it is missing or empty."""
    if value is None or value == "":
        return None
    is_none = isinstance(value, bool) or (isinstance(value, str) and "_" in value)  # Python would read `1_0`
    try:
        return float("" if is_none else value)  # type: ignore[arg-type] # what it does not take is caught
    except (TypeError, ValueError, OverflowError):
        raise RowError(f"{name} is no number: {shorten(str(value))!r}") from None


def to_channel(value: object, first: int = 1) -> int | None:
    """A channel counted from 1, of one that is counted from `first`; None if it is missing or empty."""
    if value is None or value == "":
        return None
    number = to_seconds(value, "channel")
    if number is None or not number.is_integer() or not 0 <= number - first < MAX_CHANNEL:
        raise RowError(f"channel {shorten(str(value))!r}, counted from {first}", "correct the channel")
    return int(number) - first + 1


def to_text(value: object) -> str:
    """A name or a text of a cell or of a JSON value; empty if it is missing."""
    if value is None:
        return ""
    if isinstance(value, bool | dict | list | tuple):
        raise RowError(f"expected a text, found {shorten(str(value))}")
    return str(value)


def to_name(value: object) -> str:
    """A name of a speaker or language, as it is compared."""
    return printable(normal(to_text(value).strip()))


def to_split(value: object) -> str:
    """The split that a row says. Raises RowError if it says none that is known."""
    word = to_text(value).strip().lower()
    if word not in SPLITS:
        raise RowError(f"a split {shorten(word)!r}", f"expected one of {', '.join(SPLITS)}")
    return SPLITS[word]
