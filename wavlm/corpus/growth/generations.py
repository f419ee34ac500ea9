"""The list of generations of a corpus that grows: a folder beside the corpus spec, `<name>.generations/`.

| file | content |
|---|---|
| `list.json` | each generation: its digest, its bytes, how many recordings it added, changed and removed, its hours |
| `files-<digest>.parquet`, `history-<digest>.parquet` | tables of the last generation (`wavlm.corpus.growth.history`) |
| `list.0001.json` and so on | lists that were replaced by a new one, the oldest first; their tables stay |

`list.json` is written last and by a rename. It carries its own digest and names its tables by theirs, so that a list is
whole or not there. The list follows from the tables of a corpus' folder alone: whoever writes it writes the same bytes.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import JsonValue, ValidationError

from wavlm.corpus.contents import FolderContents
from wavlm.corpus.digests import FileEntry
from wavlm.corpus.facts import Amount
from wavlm.corpus.growth.files import FileVersion, stream_files
from wavlm.corpus.growth.history import History, read_history
from wavlm.corpus.manifest import FORMAT as MANIFEST_FORMAT
from wavlm.errors import BadDataError
from wavlm.specs import CorpusSpec, FolderSource, HoldOut
from wavlm.specs.identity import canonical
from wavlm.storage.digested import read_digested
from wavlm.storage.facts import Facts
from wavlm.storage.files import sha256_of
from wavlm.storage.texts import Among

LIST = "list.json"
FORMAT = 1
DIGITS = 16  # of a digest, in the name of a table
Change = Literal["+", "~", "-"]  # added, changed, removed


class Generation(Facts):
    """What one generation of a corpus is, and what it did to the one before."""

    number: int
    digest: str  # of the first one: of the folder's content; of others: of what they changed
    bytes: int  # of all files of the folder
    added: Amount  # recordings that are used
    changed: int
    removed: int
    train: Amount  # all of it
    valid: Amount


class ListFacts(Facts):
    """What `list.json` holds."""

    format: int = FORMAT
    corpus: str
    made_for: dict[str, JsonValue]  # what of the corpus spec decides its rows; another spec needs another list
    valid_rule: HoldOut | None  # of the spec that it was made for, or of the list before this one
    generations: tuple[Generation, ...]  # none: the next run begins a new list
    content: str = ""  # the digest of the folder as the last generation had it
    files: str = ""  # names of the tables
    history: str = ""


@dataclass(frozen=True)
class FolderChanges:
    """The files in which a folder differs from what it was, by path: what happened, and the file itself."""

    entries: Mapping[str, tuple[Change, FileEntry]]

    @property
    def digest(self) -> str:
        """The sha256, in hex, over the sorted changes: kind, path, size and sha256 of each."""
        whole = hashlib.sha256()
        for path in sorted(self.entries, key=os.fsencode):
            change, entry = self.entries[path]
            whole.update(b"%s %s\0%d %s\n" % (change.encode(), os.fsencode(path), entry.size, entry.sha256.encode()))
        return whole.hexdigest()

    def count(self, change: Change) -> int:
        """How many files were added, changed or removed."""
        return sum(found == change for found, _ in self.entries.values())


@dataclass(frozen=True)
class GenerationList:
    """A list of generations as it lies on the disk."""

    folder: Path
    facts: ListFacts = field(repr=False)

    @property
    def latest(self) -> int:
        """The number of the last generation; 0 if the next run begins a new list."""
        return len(self.facts.generations)

    def stream_files(self) -> Iterator[FileVersion]:
        """All versions of all files, one at a time. Raises BadDataError (GENERATIONS_DAMAGED)."""
        return stream_files(self._files)

    @cached_property
    def history(self) -> History:
        """All versions of all recordings. Raises BadDataError (GENERATIONS_DAMAGED)."""
        return read_history(self._table(self.facts.history))

    @cached_property
    def _files(self) -> Path:
        return self._table(self.facts.files)

    def fits(self, spec: CorpusSpec) -> bool:
        """Whether the list was made for this corpus spec, also if the rule of its split is filled in."""
        rules = (None, self.facts.valid_rule)
        return self.facts.made_for == made_for(spec) and spec.valid_rule in rules

    def changes(self, contents: FolderContents) -> FolderChanges:
        """What has changed in the folder since the last generation."""
        if self.facts.content == contents.digest:
            return FolderChanges({})

        def before() -> Iterator[tuple[str, FileEntry]]:
            return ((item.path, item.entry) for item in self.stream_files() if item.is_at(self.latest))

        return changes_between(before, contents.entries)

    def identify(self, source: FolderSource, contents: FolderContents) -> FolderSource:
        """The source with the digests of all generations: those of the list, and one of what has changed since."""
        if not self.latest:
            return first_generation(source, contents)
        digests = [item.digest for item in self.facts.generations]
        sizes = [item.bytes for item in self.facts.generations]
        if (changes := self.changes(contents)).entries:
            digests.append(changes.digest)
            sizes.append(contents.num_bytes)
        update = {"content": digests[0], "grown": tuple(digests[1:]), "generation_bytes": tuple(sizes)}
        return source.model_copy(update=update)

    def _table(self, name: str) -> Path:
        path = self.folder / name
        try:
            found = sha256_of(path)
        except OSError as error:
            raise damaged(path, error.strerror or str(error)) from error
        if found[:DIGITS] != path.stem.rpartition("-")[2]:
            raise damaged(path, f"its sha256 is {found}")
        return path


def list_folder(spec: CorpusSpec) -> Path | None:
    """The folder of a corpus' list; None if it can have none: archives, and a place in the folder that it is about."""
    source = spec.folder
    if source is None or not source.generations:
        return None
    place, speech = Path(source.generations), os.path.realpath(source.path)
    inside = os.path.realpath(place) == speech or os.path.realpath(place).startswith(speech.rstrip(os.sep) + os.sep)
    return None if inside else place


def read_list(spec: CorpusSpec) -> GenerationList | None:
    """The list of a corpus, whether it fits or not; None if there is none.

    Raises BadDataError (GENERATIONS_DAMAGED) if it cannot be read: then nobody knows what the corpus was.
    """
    folder = list_folder(spec)
    if folder is None:
        return None
    path = folder / LIST
    try:
        found = read_digested(path)
        if not found.has_digest:
            raise damaged(path, "it has no digest")
        facts = ListFacts.model_validate(found.content, strict=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError as error:
        raise damaged(path, f"{error.error_count()} of its fields are not as expected") from error
    except (OSError, ValueError) as error:
        raise damaged(path, str(error)) from error
    if facts.format != FORMAT:
        raise damaged(path, f"it has the format {facts.format}, expected {FORMAT}")
    return GenerationList(folder, facts)


def find_list(spec: CorpusSpec) -> GenerationList | None:
    """The list that a corpus goes on with; None if there is none, or one that was made for another corpus spec."""
    found = read_list(spec)
    return found if found and found.fits(spec) else None


def find_base(spec: CorpusSpec, contents: FolderContents) -> GenerationList | None:
    """The list that says what the generations of a resolved corpus were; None for a first one that needs no list.

    Raises BadDataError (FOLDER_CHANGED) if the folder is neither what the spec names nor what came after it.
    """
    source, found = spec.folder, find_list(spec)
    if source is None or source.content is None:
        return None
    if found and found.latest:
        now = found.identify(source, contents)
        if [now.content, *now.grown][: source.generation] == [source.content, *source.grown]:
            return found
    if source.grown or source.content != contents.digest:
        named = source.grown[-1] if source.grown else source.content
        raise BadDataError(
            "FOLDER_CHANGED",
            f"the folder of {spec.name} has the content {contents.digest}, expected generation {source.generation}, "
            f"{named}; at {source.path}; run again, or correct or remove `content` if it stands in the corpus spec",
        )
    return None


def find_rule(found: GenerationList, spec: CorpusSpec, *, anew: bool = False) -> HoldOut | None:
    """The rule that splits a corpus with a list: that of the list.

    `anew`, or if the list does not fit: the rule that a new list begins with, so that what was held out is not trained
    on. There is none if another split is asked for.
    """
    if found.fits(spec) and not (anew and found.latest):
        return found.facts.valid_rule
    now, before = made_for(spec), found.facts.made_for
    if any(before.get(name) != now.get(name) for name in ("valid_fraction", "valid_speakers")):
        return None
    return _rule_of(found.history) if found.latest else found.facts.valid_rule


def _rule_of(history: History) -> HoldOut | None:
    if history.rule not in ("speakers", "recordings") or not 0 < history.below <= 1:
        return None
    return HoldOut(by="speakers" if history.rule == "speakers" else "recordings", below=history.below)


def made_for(spec: CorpusSpec) -> dict[str, JsonValue]:
    """What of a corpus spec, and of this version, decides the rows of its list."""
    fields: Any = canonical(spec.model_copy(update={"valid_rule": None}))
    return {**{name: value for name, value in fields.items() if name != "sources"}, "manifest": MANIFEST_FORMAT}


def first_generation(source: FolderSource, contents: FolderContents) -> FolderSource:
    """The source of a corpus that has not grown."""
    update = {"content": contents.digest, "grown": (), "generation_bytes": (contents.num_bytes,)}
    return source.model_copy(update=update)


def changes_between(
    before: Callable[[], Iterable[tuple[str, FileEntry]]], after: Mapping[str, FileEntry]
) -> FolderChanges:
    """The files that differ between two states of a folder. before: reads the earlier one, file by file."""
    found: dict[str, tuple[Change, FileEntry]] = {}
    hashes, num_kept = array("q"), 0
    for path, entry in before():
        now = after.get(path)
        if now is None:
            found[path] = ("-", entry)
            continue
        hashes.append(hash(path))
        num_kept += 1
        if now != entry:
            found[path] = ("~", now)
    if num_kept < len(after):
        among = Among(np.array(hashes).view(np.uint64))
        is_kept = among.find(np.fromiter(map(hash, after), np.int64, len(after)).view(np.uint64))
        added = [path for path, known in zip(after, is_kept.tolist(), strict=True) if not known]
        if num_kept + len(added) != len(after):  # two paths have one hash
            paths = {path for path, _ in before()}
            added = [path for path in after if path not in paths]
        found.update({path: ("+", after[path]) for path in added})
    return FolderChanges(found)


def damaged(path: Path, what: str) -> BadDataError:
    """The error for a list that cannot be used."""
    return BadDataError(
        "GENERATIONS_DAMAGED",
        f"the list of generations cannot be used: {what}; at {path}; restore its folder from a backup, or begin a new "
        "list, at the price of a full build: wavlm grow CORPUS --compact",
    )
