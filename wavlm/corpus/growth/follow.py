"""Make the history of a generation: the first one from its split, a later one from the one before."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace

from wavlm.corpus.digests import FileEntry
from wavlm.corpus.growth.generations import FolderChanges
from wavlm.corpus.growth.history import FileVersion, History, Version
from wavlm.corpus.growth.match import TEST_SPLIT, Match, Present, match
from wavlm.corpus.layouts import Recording
from wavlm.corpus.manifest import ManifestRow
from wavlm.corpus.regions import find_overlaps
from wavlm.corpus.split import default_channel, hold_new
from wavlm.errors import BadDataError
from wavlm.specs import CorpusSpec

logger = logging.getLogger(__name__)

Measure = Callable[[Sequence[Recording]], Iterable[ManifestRow]]  # opens the files; rows in the order of the recordings
# Why a recording is in neither split: also for those that come into a corpus later.
COPY_OF_VALID, OVERLAPS_VALID, REGION_TWICE = "COPY_OF_VALID", "OVERLAPS_VALID", "REGION_TWICE"
COPY_OF_TRAIN, OVERLAPS_TRAIN = "COPY_OF_TRAIN", "OVERLAPS_TRAIN"  # of what came earlier, and has been trained on
_SHARED = tuple(item.name for item in fields(Version) if item.name in {found.name for found in fields(ManifestRow)})


def follow(spec: CorpusSpec, history: History, number: int, present: Sequence[Present], measure: Measure) -> History:
    """The history of generation `number`, from that of the one before and what the layout finds now.

    Raises BadDataError (VALID_EMPTY, VALID_TOO_LARGE) if nothing is left to validate on, or to train on.
    """
    found = match(history, number - 1, present)
    rows = _measure_some(found, present, measure)
    splits = _split_new(spec, history, found, present, rows)
    came = tuple(_versions(found, present, rows, splits, number))
    left = {*found.changed.values(), *found.removed}
    kept = (replace(item, until=number) if item in left else item for item in history.versions)
    grown = replace(history, versions=(*kept, *came))
    _check_splits(spec, grown, number)
    _warn_of_speakers(spec, grown, came)
    return grown


def rows_of(history: History, generation: int, present: Sequence[Present]) -> list[ManifestRow]:
    """The rows of the manifest of a generation, in the order of the layout."""
    versions = {item.key: item for item in history.at(generation) if item.is_used}
    here = ((item.recording, versions.get(item.recording.key)) for item in present)
    return [_row(recording, version) for recording, version in here if version]


def begin_files(entries: Mapping[str, FileEntry]) -> Iterator[FileVersion]:
    """The files of a first generation."""
    return (FileVersion(path, *entries[path], since=1) for path in sorted(entries))


def follow_files(files: Sequence[FileVersion], changes: FolderChanges, number: int) -> list[FileVersion]:
    """The files of generation `number`, from those of the one before."""
    kept = [replace(item, until=number) if _is_left(item, changes) else item for item in files]
    came = ((path, entry) for path, (change, entry) in sorted(changes.entries.items()) if change != "-")
    return [*kept, *(FileVersion(path, *entry, since=number) for path, entry in came)]


def _is_left(item: FileVersion, changes: FolderChanges) -> bool:
    return item.until is None and item.path in changes.entries


def _measure_some(found: Match, present: Sequence[Present], measure: Measure) -> dict[str, ManifestRow]:
    """Rows of what is new or has other audio, by key. No other file is opened."""
    new = {item.recording.key for item in found.new}
    others = [
        item.recording
        for item in present
        if item.recording.key in new
        or ((before := found.changed.get(item.recording.key)) is not None and before.content != item.content)
    ]
    return {row.key: row for row in measure(others)}


def _split_new(
    spec: CorpusSpec, history: History, found: Match, present: Sequence[Present], rows: Mapping[str, ManifestRow]
) -> dict[str, str]:
    """The split of each new recording by its key, or why it is in none. Nothing that was there before is moved."""
    splits = {item.recording.key: TEST_SPLIT for item in found.new if item.recording.split == "test"}
    new = {item.recording.key for item in found.new}
    named = {(str(item.recording.path), item.content) for item in present if item.recording.key not in new}
    wanted = []
    for item in found.new:
        row = rows[item.recording.key]
        if row.key in splits:
            continue
        if (row.path, row.content) in named:
            splits[row.key] = REGION_TWICE
            continue
        named.add((row.path, row.content))
        wanted.append(row)
    given = frozenset(item.recording.key for item in found.new if item.recording.split == "valid")
    held = hold_new(wanted, spec, given, history.rule, history.below)
    train, valid = ([item for item in history.versions if item.split == name] for name in ("train", "valid"))
    new_valid = [row for row in wanted if row.key in held]
    splits.update(_keep_apart(new_valid, train, spec, ("valid", COPY_OF_TRAIN, OVERLAPS_TRAIN)))
    new_train = [row for row in wanted if row.key not in held]
    splits.update(_keep_apart(new_train, [*valid, *new_valid], spec, ("train", COPY_OF_VALID, OVERLAPS_VALID)))
    return splits


def _keep_apart(
    rows: Sequence[ManifestRow],
    others: Sequence[ManifestRow | Version],
    spec: CorpusSpec,
    names: tuple[str, str, str],
) -> Iterator[tuple[str, str]]:
    """Each key with its split, or why it is not in it: it is a copy of another split's recording, or shares audio."""
    split, is_copy, overlaps = names
    contents = {item.content for item in others}
    shared = find_overlaps(rows, others, default_channel(spec))
    for row in rows:
        yield row.key, is_copy if row.content in contents else overlaps if row.key in shared else split


def _versions(
    found: Match,
    present: Sequence[Present],
    rows: Mapping[str, ManifestRow],
    splits: Mapping[str, str],
    number: int,
) -> Iterator[Version]:
    """The versions that come with a generation, in the order of the layout."""
    for item in present:
        key = item.recording.key
        if key in splits:
            yield _version(item, rows[key], splits[key], number)
        elif (before := found.changed.get(key)) and (row := rows.get(key)):
            yield replace(_version(item, row, before.split, number), generation=before.generation)
        elif before:
            said = item.recording
            yield replace(before, path=str(said.path), speaker=said.speaker, row=item.row, since=number)


def _version(item: Present, row: ManifestRow, split: str, number: int) -> Version:
    shared = {name: getattr(row, name) for name in _SHARED}
    return Version(**{**shared, "split": split, "row": item.row, "generation": number, "since": number})


def _row(recording: Recording, version: Version) -> ManifestRow:
    shared = {name: getattr(version, name) for name in _SHARED}
    return ManifestRow(**shared, text=recording.text, phones=recording.phones, language=recording.language)


def _warn_of_speakers(spec: CorpusSpec, history: History, came: Sequence[Version]) -> None:
    """Say which recordings stay in train although their speaker, who was named otherwise before, is held out."""
    changed = [item for item in came if item.since != item.generation and item.split == "train"]
    held = hold_new(changed, spec, frozenset(), history.rule, history.below)
    if held:
        logger.warning(
            "%s: %d recordings stay in train, where they were, although their speaker, who has another name now, is "
            "held out: %s; to draw anew: wavlm grow CORPUS --compact",
            spec.name,
            len(held),
            ", ".join(sorted(held)[:3]),
        )


def _check_splits(spec: CorpusSpec, history: History, number: int) -> None:
    """Refuse a corpus of speech whose held-out or whose other recordings were all removed."""
    if spec.role != "speech":
        return
    had, has = ({item.split for item in history.at(at) if item.is_used} for at in (number - 1, number))
    if "valid" in had - has:
        raise BadDataError(
            "VALID_EMPTY",
            f"all held-out recordings of {spec.name} were removed; in the folder of the corpus; add some, or begin a "
            "new list: wavlm grow CORPUS --compact",
        )
    if "train" in had - has:
        raise BadDataError(
            "VALID_TOO_LARGE",
            f"no recording of {spec.name} is left to train on, the others were removed; in the folder of the corpus; "
            "add some, or begin a new list: wavlm grow CORPUS --compact",
        )
