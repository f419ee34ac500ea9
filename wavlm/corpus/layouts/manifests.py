"""From the rows of manifests to recordings: every row gives a recording, or is counted with a reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from wavlm.corpus.layouts.account import TableAccount
from wavlm.corpus.layouts.join import Fate, Tally
from wavlm.corpus.layouts.names import find_spelled, key_of, names_of
from wavlm.corpus.layouts.places import Places
from wavlm.corpus.layouts.recording import UNKNOWN_SPEAKER, Recording
from wavlm.corpus.layouts.rows import Entry, Faults, RowError, word_for
from wavlm.corpus.layouts.table import shorten, table_fault
from wavlm.corpus.layouts.tree import Tree
from wavlm.errors import BadDataError
from wavlm.specs.manifests import ListedLayout
from wavlm.storage.encoding import printable

NOT_THERE = "give audio_root if the paths start elsewhere, correct the manifest"
# Reads one manifest: from its path on the disk to its rows, in their order.
ReadRows = Callable[[Path], Iterable[Entry]]


@dataclass(frozen=True)
class Manifest:
    """One file that lists audio. `path` is relative to the folder of the corpus."""

    path: PurePosixPath
    split: str | None  # of its rows, if the spec says it

    @property
    def folder(self) -> PurePosixPath:
        return self.path.parent


@dataclass(frozen=True)
class Found:
    """A row whose audio is there."""

    manifest: Manifest
    entry: Entry
    path: PurePosixPath

    @property
    def identity(self) -> tuple[object, ...]:
        """What no two rows may have in common: the name, or what a name is made of."""
        entry = self.entry
        return (entry.name,) if entry.name else (self.path, entry.start_s, entry.end_s, entry.channel)

    def says_as(self, other: Found) -> bool:
        """Whether another row says the same in other words."""
        own = replace(self.entry, line=other.entry.line, audio=other.entry.audio)
        return (self.path, self.manifest.split, own) == (other.path, other.manifest.split, other.entry)


def read_listed(layout: ListedLayout, tree: Tree, read_rows: ReadRows) -> Iterator[Recording]:
    """The recordings that the manifests of a layout list, by path and start.

    Raises BadDataError: LAYOUT for manifests that are not there, hold no row, or have bad lines; TABLE_JOIN if more
    rows than the bound allows name audio that is not there or repeat another row.
    """
    listing = Listing(tree, layout.max_left_over_rows, layout.audio_root)
    for manifest in find_manifests(layout, tree):
        listing.take(manifest, read_rows(tree.root / manifest.path))
    yield from listing.recordings()


class Listing:
    """The rows of all manifests of a corpus, on their way to recordings."""

    def __init__(self, tree: Tree, max_left_over: float, audio_root: str = "", advice: str = NOT_THERE) -> None:
        """`advice`: what to do where audio is not there."""
        self.places = Places(tree, audio_root)
        self._advice = advice
        self._max_left_over = max_left_over
        self._tree = tree
        self._first: dict[tuple[object, ...], Found] = {}

    def take(self, manifest: Manifest, entries: Iterable[Entry], count_unused: Callable[[], int] = lambda: 0) -> None:
        """Take the rows of one manifest, and add its account to the tree. Raises BadDataError as `read_listed`.

        `count_unused`: recordings of another table that no row cuts anything from, known after the last row.
        """
        tally, where = Tally(str(manifest.path), word_for(manifest.path)), self._tree.root / manifest.path
        faults, rows = Faults(where), 0
        for entry in entries:
            rows += 1
            try:
                fate = self._add(manifest, entry)
            except RowError as error:
                faults.add(entry.line, error)
            else:
                tally.add(fate, entry.name or entry.audio, entry.line)
        faults.check()
        if not rows:
            raise table_fault(where, 0, "it has no rows", "remove it from the corpus spec, or make it again")
        self._tree.tables.append(check_listed(where, tally.account(count_unused()), self._max_left_over, self._advice))

    def recordings(self) -> Iterator[Recording]:
        """A recording per row that was taken, in the order of path, start, end, channel and name."""
        return to_recordings(self._first.values())

    def _add(self, manifest: Manifest, entry: Entry) -> Fate:
        """What becomes of a row. Raises RowError if an earlier one of its name says something else."""
        path = None if entry.is_missing else self.places.find(entry.audio, manifest.folder)
        if path is None:
            return "left over"
        found = Found(manifest, entry, path)
        first = self._first.setdefault(found.identity, found)
        if first is found:
            return "path"
        if not first.says_as(found):
            where = f"{word_for(manifest.path)} {first.entry.line} of {printable(str(first.manifest.path))}"
            raise RowError(
                f"{shorten(entry.name or entry.audio)} stands in {where} too, and there it is something else",
                "give each row a name of its own, or delete one",
            )
        return "duplicate"


def find_manifests(layout: ListedLayout, tree: Tree) -> list[Manifest]:
    """The manifests that a layout names, in the order of the spec. Raises BadDataError (LAYOUT) if one is not there."""
    valid = find_listed(tree, layout.valid, "valid")
    held = set(valid)
    read = [path for path in find_listed(tree, layout.manifests, "manifests") if path not in held]
    train = "train" if valid else None
    return [*(Manifest(path, train) for path in read), *(Manifest(path, "valid") for path in valid)]


def find_listed(tree: Tree, patterns: Iterable[str], field: str) -> list[PurePosixPath]:
    """Files below the folder that globs name, each once. Raises BadDataError (LAYOUT) for a glob that names none."""
    found: dict[PurePosixPath, None] = {}
    for pattern in patterns:
        paths = tree.files(pattern)
        if not paths:
            raise _missing(tree.root, pattern, field)
        found.update(dict.fromkeys(paths))
    return list(found)


def check_manifests(layout: ListedLayout, root: Path) -> None:
    """Raise BadDataError (LAYOUT) for a manifest that is not there. Looks at names alone, and not at globs."""
    for field in ("manifests", "valid"):
        for pattern in plain_names(getattr(layout, field)):
            if not find_spelled(root, pattern).exists():
                raise _missing(root, pattern, field)


def plain_names(patterns: Iterable[str]) -> list[str]:
    """Those that name one file, without special characters."""
    return [pattern for pattern in patterns if not any(letter in pattern for letter in "*?[")]


def check_listed(path: Path, account: TableAccount, max_left_over: float, advice: str = NOT_THERE) -> TableAccount:
    """The account of a manifest, if it is within the bound. Raises BadDataError (TABLE_JOIN) otherwise."""
    lost = account.duplicates + account.left_over
    if lost > max_left_over * account.rows:
        raise BadDataError(
            "TABLE_JOIN",
            f"{account.left_over} of {account.rows} rows name audio that is not there, {account.duplicates} repeat "
            f"another row: {'; '.join(account.examples)}; in {printable(str(path))}; {advice}, or raise "
            f"max_left_over_rows in the corpus spec, which is {max_left_over}",
        )
    return account


def to_recordings(rows: Iterable[Found]) -> Iterator[Recording]:
    """A recording per row, in the order of path, start, end, channel and key."""
    ordered = sorted(rows, key=lambda row: (str(row.path), _span(row.entry), row.entry.name))
    unnamed = list(dict.fromkeys(row.path for row in ordered if not row.entry.name))
    names = dict(zip(unnamed, names_of(unnamed), strict=True))
    for row in ordered:
        entry = row.entry
        name = entry.name or f"{names[row.path].lstrip('/')}{region_name(entry)}"
        yield Recording(
            key_of(name),
            row.path,
            entry.speaker or UNKNOWN_SPEAKER,
            entry.text,
            split=entry.split or row.manifest.split,
            language=entry.language or None,
            start_s=entry.start_s or None,
            end_s=entry.end_s,
            channel=entry.channel,
            part=entry.part,
            target=entry.target,
        )


def region_name(entry: Entry) -> str:
    """The end of a name that tells the regions of a file apart: milliseconds and channel; empty for a whole file."""
    times = ""
    if entry.start_s is not None or entry.end_s is not None:
        end = "end" if entry.end_s is None else _milliseconds(entry.end_s)
        times = f"-{_milliseconds(entry.start_s or 0.0)}-{end}"
    return times + (f"-c{entry.channel}" if entry.channel is not None else "")


def _milliseconds(seconds: float) -> str:
    """Such as `1250`; with microseconds where there are some, as `1250.5`."""
    return f"{round(1e6 * seconds) / 1000:.3f}".rstrip("0").rstrip(".")


def _span(entry: Entry) -> tuple[float, float, int]:
    end = math.inf if entry.end_s is None else entry.end_s
    return entry.start_s or 0.0, end, entry.channel or 0


def _missing(root: Path, pattern: str, field: str) -> BadDataError:
    return BadDataError(
        "LAYOUT",
        f"no file {printable(pattern)}; in {printable(str(root))}; correct {field} of the layout in the corpus spec",
    )
