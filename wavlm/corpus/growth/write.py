"""Write the list of generations: one writer at a time, tables first, then the list by a rename."""

from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

from wavlm.corpus.digests import FileEntry, digest_of
from wavlm.corpus.facts import Amount
from wavlm.corpus.growth.generations import (
    DIGITS,
    LIST,
    Generation,
    GenerationList,
    ListFacts,
    find_rule,
    list_folder,
    made_for,
    read_list,
)
from wavlm.corpus.growth.history import FILES, HISTORY, FileVersion, History, Version, at, parse_files, parse_history
from wavlm.errors import BadDataError, CannotWriteError
from wavlm.specs import CorpusSpec
from wavlm.storage.digested import read_digested, write_digested
from wavlm.storage.files import atomic_path, nearest_existing, sha256_of
from wavlm.storage.locks import hold_lock
from wavlm.storage.seals import check_sealed

CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)


def write_list(spec: CorpusSpec, corpus_dir: Path) -> GenerationList | None:
    """Bring the list of a corpus to the generation that is in a folder of it; None if there is nothing to write.

    Killed at any time, the next call ends the same. A list that was made for another corpus spec is kept aside.
    Raises CannotWriteError (GENERATIONS_CLOSED), LockedError, and what `read_list` raises.
    """
    folder = list_folder(spec)
    if folder is None or not (corpus_dir / HISTORY).is_file():
        return None
    if not _is_next(read_list(spec), spec) and not _find_others(folder):
        return None
    with _change(spec, folder):
        found = read_list(spec)  # another run may have been here since
        if not _is_next(found, spec):
            _remove_others(folder)  # by one that was killed
            return None
        wanted = _describe(spec, corpus_dir)
        for name, table in ((wanted.files, FILES), (wanted.history, HISTORY)):
            with atomic_path(folder / name) as temporary:
                shutil.copyfile(corpus_dir / table, temporary)
        if found and not found.fits(spec):
            _set_aside(folder)
        write_digested(folder / LIST, wanted.model_dump(mode="json"))
        _remove_others(folder)
    return GenerationList(folder, wanted)


def begin_anew(spec: CorpusSpec, found: GenerationList | None) -> None:
    """Let the next run begin a new list, with the rule of the split that the old one has. That one is kept aside.

    `found`: None if the old one is damaged.
    Raises CannotWriteError (GENERATIONS_CLOSED) and LockedError.
    """
    folder = list_folder(spec)
    if folder is None:
        return
    rule = find_rule(found, spec, anew=True) if found else spec.valid_rule
    facts = ListFacts(corpus=spec.name, made_for=made_for(spec), valid_rule=rule, generations=())
    with _change(spec, folder):
        _set_aside(folder)
        write_digested(folder / LIST, facts.model_dump(mode="json"))


def refuse_closed(spec: CorpusSpec) -> None:
    """Raise CannotWriteError (GENERATIONS_CLOSED) if the list of a corpus cannot be written."""
    folder = list_folder(spec)
    if folder is not None and not os.access(nearest_existing(folder), os.W_OK | os.X_OK):
        raise _closed(spec, folder)


def _digests(spec: CorpusSpec) -> list[str]:
    """Those of the generations of a corpus that is read from a folder."""
    assert spec.folder is not None  # noqa: S101 - nothing else has a history
    return [str(spec.folder.content), *spec.folder.grown]


def _is_next(found: GenerationList | None, spec: CorpusSpec) -> bool:
    """Whether the list of a corpus is what comes after the one that is there."""
    if found is None:
        return True
    before, after = [item.digest for item in found.facts.generations], _digests(spec)
    if not found.fits(spec):
        return len(after) == 1
    return after[:-1] == before


def _describe(spec: CorpusSpec, corpus_dir: Path) -> ListFacts:
    """The list that a corpus' folder belongs to, up to the generation that it is."""
    check_sealed(corpus_dir / FILES)
    check_sealed(corpus_dir / HISTORY)
    files, history = parse_files(corpus_dir / FILES), parse_history(corpus_dir / HISTORY)
    digests = _digests(spec)
    state = {item.path: FileEntry(item.size, item.sha256) for item in at(files, len(digests))}
    return ListFacts(
        corpus=spec.name,
        made_for=made_for(spec),
        valid_rule=spec.valid_rule,
        generations=tuple(_generations(digests, files, history)),
        content=digest_of(state),
        files=_name_of(corpus_dir / FILES),
        history=_name_of(corpus_dir / HISTORY),
    )


def _generations(digests: Sequence[str], files: Iterable[FileVersion], history: History) -> Iterator[Generation]:
    latest = len(digests)
    used = [item for item in history.versions if item.is_used]
    sizes = _totals(((item.since, item.until, item.size) for item in files), latest)
    train, valid = (_amounts([item for item in used if item.split == split], latest) for split in ("train", "valid"))
    new = [item for item in used if item.since == item.generation]
    added, lengths = Counter(item.since for item in new), Counter[int]()
    for item in new:
        lengths[item.since] += item.microseconds
    changed = Counter(item.since for item in used if item.since != item.generation)
    ended = Counter(item.until for item in used)
    for number, digest in enumerate(digests, 1):
        yield Generation(
            number=number,
            digest=digest,
            bytes=sizes[number - 1],
            added=Amount(recordings=added[number], microseconds=lengths[number]),
            changed=changed[number],
            removed=ended[number] - changed[number],
            train=train[number - 1],
            valid=valid[number - 1],
        )


def _amounts(versions: Sequence[Version], latest: int) -> list[Amount]:
    counts = _totals(((item.since, item.until, 1) for item in versions), latest)
    lengths = _totals(((item.since, item.until, item.microseconds) for item in versions), latest)
    return [Amount(recordings=count, microseconds=length) for count, length in zip(counts, lengths, strict=True)]


def _totals(rows: Iterable[tuple[int, int | None, int]], latest: int) -> list[int]:
    """The sum of what is there in each generation. rows: since, until, value."""
    steps: Counter[int] = Counter()
    for since, until, value in rows:
        steps[since] += value
        if until is not None:
            steps[until] -= value
    return list(accumulate(steps[number] for number in range(1, latest + 1)))


def _name_of(table: Path) -> str:
    return f"{table.stem}-{sha256_of(table)[:DIGITS]}{table.suffix}"


def _set_aside(folder: Path) -> None:
    """Keep the list under a name with a number. It stays in place, too, until it is replaced."""
    path = folder / LIST
    aside = sorted(folder.glob("list.[0-9]*.json"))
    if not path.is_file() or (aside and aside[-1].read_bytes() == path.read_bytes()):  # by one that was killed
        return
    number = int(aside[-1].stem.rpartition(".")[2]) + 1 if aside else 1  # somebody may have removed earlier ones
    with atomic_path(folder / f"list.{number:04d}.json") as temporary:
        shutil.copyfile(path, temporary)


def _remove_others(folder: Path) -> None:
    for path in _find_others(folder):
        path.unlink(missing_ok=True)


def _find_others(folder: Path) -> list[Path]:
    """The tables that no list names, and what a killed writer left."""
    named = set()
    for path in folder.glob("list*.json"):
        try:
            content = read_digested(path).content
        except (OSError, ValueError):
            return []  # one that was damaged and set aside: nobody knows what it names
        named |= {content.get("files"), content.get("history")}
    return [path for path in (*folder.glob("*-*.parquet"), *folder.glob(".*.partial")) if path.name not in named]


@contextmanager
def _change(spec: CorpusSpec, folder: Path) -> Iterator[None]:
    """Hold the lock of a list while the block writes. Raises CannotWriteError (GENERATIONS_CLOSED), LockedError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with hold_lock(folder / ".lock", f"the list of generations of {spec.name}"):
            yield
    except OSError as error:
        is_closed = error.errno in CLOSED or (isinstance(error, CannotWriteError) and error.code == "NOT_WRITABLE")
        if not is_closed or isinstance(error, BadDataError):
            raise
        raise _closed(spec, folder) from error


def _closed(spec: CorpusSpec, folder: Path) -> CannotWriteError:
    return CannotWriteError(
        "GENERATIONS_CLOSED",
        f"the list of generations of {spec.name} cannot be written; at {folder}; let yourself write there, or name "
        "another folder by `generations` in the source of the corpus spec, with a copy of what lies there",
    )
