"""Write the list of generations: one writer at a time, tables first, then the list by a rename."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wavlm.corpus.digests import digest_sorted
from wavlm.corpus.facts import Amount
from wavlm.corpus.growth.files import FILES, stream_last_files, sum_files
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
from wavlm.corpus.growth.history import HISTORY, History, read_history
from wavlm.corpus.growth.splits import TRAIN, VALID, number_splits
from wavlm.corpus.manifest import microseconds_of
from wavlm.errors import BadDataError, CannotWriteError
from wavlm.specs import CorpusSpec
from wavlm.storage.arrow import to_numbers
from wavlm.storage.digested import read_digested, write_digested
from wavlm.storage.files import atomic_path, nearest_existing, sha256_of
from wavlm.storage.locks import hold_lock
from wavlm.storage.seals import check_sealed

Integers = npt.NDArray[np.int64]

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
    digests = _digests(spec)
    return ListFacts(
        corpus=spec.name,
        made_for=made_for(spec),
        valid_rule=spec.valid_rule,
        generations=tuple(_generations(digests, corpus_dir)),
        content=digest_sorted(stream_last_files(corpus_dir / FILES)),
        files=_name_of(corpus_dir / FILES),
        history=_name_of(corpus_dir / HISTORY),
    )


def _generations(digests: Sequence[str], corpus_dir: Path) -> Iterator[Generation]:
    """What each generation is. The tables are those of the last one."""
    latest = len(digests)
    sizes = sum_files(corpus_dir / FILES, latest)
    sums = _VersionSums.of(read_history(corpus_dir / HISTORY), latest)
    for number, digest in enumerate(digests, 1):
        yield Generation(
            number=number,
            digest=digest,
            bytes=sizes[number - 1],
            added=sums.added(number),
            changed=int(sums.changed[number]),
            removed=int(sums.ended[number] - sums.changed[number]),
            train=sums.amount(TRAIN, number),
            valid=sums.amount(VALID, number),
        )


@dataclass(frozen=True, eq=False)
class _VersionSums:
    """Versions of recordings in a split, and their microseconds, by the number of the generation: (G + 2,) each."""

    new: Integers  # (2, G + 2) that came to a new place
    changed: Integers
    ended: Integers
    there: Integers  # (splits, 2, G + 2) that a generation has

    @classmethod
    def of(cls, history: History, latest: int) -> _VersionSums:
        columns = ("split", "sample_rate_hz", "num_samples", "generation", "since", "until")
        shape = (latest + 2,)  # what is still there ends behind the last one
        new, changed, ended, steps = (np.zeros((*more, *shape), np.int64) for more in ((2,), (), (), (2, 2)))
        for batch in history.stream(columns):
            splits = number_splits(batch["split"])
            since, until = to_numbers(batch["since"]), to_numbers(batch["until"], missing=latest + 1)
            values = np.stack([np.ones(len(batch), np.int64), microseconds_of(batch)])
            is_used = (splits == TRAIN) | (splits == VALID)
            is_new = since == to_numbers(batch["generation"])
            np.add.at(changed, since[is_used & ~is_new], 1)
            np.add.at(ended, until[is_used], 1)
            for kind, some in enumerate(values):
                np.add.at(new[kind], since[is_used & is_new], some[is_used & is_new])
                for split in (TRAIN, VALID):
                    here = splits == split
                    np.add.at(steps[split, kind], since[here], some[here])
                    np.subtract.at(steps[split, kind], until[here], some[here])
        return cls(new, changed, ended, np.cumsum(steps, axis=-1))

    def added(self, number: int) -> Amount:
        return Amount(recordings=int(self.new[0, number]), microseconds=int(self.new[1, number]))

    def amount(self, split: int, number: int) -> Amount:
        recordings, microseconds = self.there[split, :, number].tolist()
        return Amount(recordings=recordings, microseconds=microseconds)


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
