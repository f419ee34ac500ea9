"""How a generation of a corpus follows from the one before: what is known, what was changed, and what is new.

Nothing that has a place moves. A recording that is known keeps generation, split and length; its file is not opened.
A changed one keeps its place, too. What is new goes to the side on which the rule of the first generation puts it.

Recordings are compared as numbers: a million take 60 MB. Keys are told apart by two hashes of 64 bits.

Legend: V versions of a history, P recordings that are there now.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wavlm.corpus.growth.history import History
from wavlm.corpus.growth.splits import OTHER, TEST, TRAIN, VALID, Codes, number_splits
from wavlm.corpus.growth.tables import unreadable
from wavlm.corpus.layouts import Recording
from wavlm.corpus.manifest import Content
from wavlm.errors import BadDataError
from wavlm.specs import CorpusSpec
from wavlm.storage.arrow import bytes_of_texts, to_numbers
from wavlm.storage.texts import Column, Hashes, hash_texts

ROW_DIGITS = 16
NOT_GIVEN, GIVEN_VALID, GIVEN_TEST = range(3)  # what a layout says of the split
NOBODY = -1
_NO_KEYS = np.zeros((2, 0), np.uint64)

Mask = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Present:
    """A recording that the layout finds now, and the bytes of its file."""

    recording: Recording
    sha256: str

    @property
    def content(self) -> Content:
        item = self.recording
        return Content(self.sha256, item.start_s, item.end_s, item.channel)

    @property
    def row(self) -> str:
        """A digest of all that the layout says, and of the file."""
        item = self.recording
        # JSON has no time that is no number; such a region is refused later, with its reason.
        said: tuple[object, ...] = (str(item.path), repr(self.content), item.speaker, item.language, item.text)
        said += (item.phones, item.part, item.target) if item.part or item.target else (item.phones,)
        return hashlib.sha256(json.dumps(said, allow_nan=False).encode()).hexdigest()[:ROW_DIGITS]


@dataclass(frozen=True, eq=False)
class Presence:
    """The recordings that are there now, as numbers, in the order of the layout."""

    keys: Hashes  # (2, P)
    rows: Hashes  # (P,) the digests of what is said
    given: Codes  # (P,) what is said of the split

    @classmethod
    def of(cls, batches: Iterable[tuple[pa.RecordBatch, list[str]]]) -> Presence:
        """batches: the columns `key` and `given` of some recordings, and the digests of their rows."""
        parts = [(hash_keys(some["key"]), number_rows(rows), _number_given(some["given"])) for some, rows in batches]
        none = (_NO_KEYS, np.zeros(0, np.uint64), np.zeros(0, np.int8))
        keys, digests, given = zip(none, *parts, strict=True)
        return cls(np.concatenate(keys, axis=1), np.concatenate(digests), np.concatenate(given))

    def without_keys(self) -> Presence:
        """What is needed when the recordings are matched."""
        return replace(self, keys=_NO_KEYS)


@dataclass(frozen=True, eq=False)
class Versions:
    """The versions of a history, as numbers, in the order in which they came."""

    keys: Hashes  # (2, V)
    rows: Hashes  # (V,)
    splits: Codes  # (V,)
    since: Numbers  # (V,)
    until: Numbers  # (V,) 0: still there

    @classmethod
    def of(cls, history: History) -> Versions:
        """Raises BadDataError (MANIFEST) if the history is damaged."""
        try:
            parts = [_number_versions(some) for some in history.stream(("key", "row", "split", "since", "until"))]
        except ValueError as error:
            raise unreadable(history.path, str(error)) from error
        none = _number_versions(pa.record_batch([pa.nulls(0, kind) for kind in _KINDS], list(_KINDS_OF)))
        whole = zip(none, *parts, strict=True)
        return cls(*(np.concatenate(some, axis=-1) for some in whole))

    def are_at(self, generation: int) -> Mask:
        """Which versions a generation had, (V,)."""
        found: Mask = (self.since <= generation) & ((self.until == 0) | (self.until > generation))
        return found

    def without_keys(self) -> Versions:
        """What is needed when the recordings are matched."""
        return replace(self, keys=_NO_KEYS)

    def present_at(self, generation: int) -> Presence:
        """The recordings that a generation had, as if they were there now."""
        here = np.flatnonzero(self.are_at(generation))
        return Presence(self.keys[:, here], self.rows[here], np.full(len(here), NOT_GIVEN, np.int8))


@dataclass(frozen=True, eq=False)
class Match:
    """What became of the recordings of a generation in the next one, and what came with it."""

    partner: Integers  # (P,) the version whose place a recording has; NOBODY: it is new
    is_known: Mask  # (P,) it is as it was

    @property
    def is_changed(self) -> Mask:
        changed: Mask = (self.partner != NOBODY) & ~self.is_known
        return changed


def match(versions: Versions, generation: int, present: Presence, rule: str) -> Match:
    """Compare the recordings that a generation had with those that are there now, by their keys.

    A recording leaves its place, and is a new one, if its owner has changed its split, or if it has now the content of
    one in the other split (`leave_for_content`).
    """
    here = np.flatnonzero(versions.are_at(generation))
    partner = _join(present.keys, versions.keys[:, here])
    is_found = partner != NOBODY
    partner[is_found] = here[partner[is_found]]
    partner[is_found & _is_moved(versions.splits[partner], present.given, rule)] = NOBODY
    return Match(partner, (partner != NOBODY) & (versions.rows[partner] == present.rows))


def leave_for_content(found: Match, splits: Codes, ever_in: dict[int, Mask]) -> Match:
    """Let changed recordings leave their place if their content was ever in the other split.

    splits (V,): of the versions. ever_in: for each split which recordings, (P,), have now the content of one of it.
    """
    partner = found.partner.copy()
    for split, other in OTHER.items():
        partner[found.is_changed & (splits[partner] == split) & ever_in[other]] = NOBODY
    return Match(partner, found.is_known)


def recall(
    history: History, versions: Versions, generation: int, present: Presence, spec: CorpusSpec, *, is_changed: bool
) -> Match:
    """Check that all recordings of a listed generation are there as they were.

    Raises BadDataError: GENERATION_GONE if something was taken away since, GENERATIONS_MISFIT if the files are the same
    (`is_changed` false) and are read otherwise.
    """
    here = np.flatnonzero(versions.are_at(generation))
    partner = _join(present.keys, versions.keys[:, here])
    is_found = partner != NOBODY
    partner[is_found] = here[partner[is_found]]
    is_known = (partner != NOBODY) & (versions.rows[partner] == present.rows)
    is_lost = np.zeros(len(versions.rows), np.bool_)
    is_lost[here] = True
    is_lost[partner[is_known]] = False
    gone = np.flatnonzero(is_lost & (is_changed | (versions.until != 0)))
    if len(gone):
        raise BadDataError(
            "GENERATION_GONE",
            f"{len(gone)} recordings of generation {generation} of {spec.name}, such as {_key_at(history, gone[0])}, "
            "were changed or removed later; in the list of generations; bring them back, or fit the codebook on a "
            "later generation by `refit` in the recipe, or begin a new list: wavlm grow CORPUS --compact",
        )
    if is_lost.any():
        lost = np.flatnonzero(is_lost)
        raise BadDataError(
            "GENERATIONS_MISFIT",
            f"{len(lost)} recordings of {spec.name}, such as {_key_at(history, lost[0])}, are read otherwise than when "
            f"generation {generation} was made, although their files are the same; in the list of generations; use the "
            "version that made it, or begin a new list, at the price of a full build: wavlm grow CORPUS --compact",
        )
    return Match(np.where(is_known, partner, NOBODY), is_known)


def hash_keys(keys: Column) -> Hashes:
    """Two numbers for each key, (2, keys): 128 bits, so that no two keys of any corpus have the same."""
    return np.stack([hash_texts(keys), hash_texts(keys, salt=1)])


def number_rows(digests: list[str]) -> Hashes:
    """The digests of rows as numbers."""
    return np.array([int(digest, 16) for digest in digests], np.uint64)


def _join(keys: Hashes, others: Hashes) -> Integers:
    """The place of each key (2, N) among others (2, M), (N,); NOBODY: it is not there."""
    order = np.argsort(others[0], kind="stable")
    ordered = others[0][order]
    if (ordered[1:] == ordered[:-1]).any():  # once in many thousand corpora
        place_of = {pair: place for place, pair in enumerate(zip(*others.tolist(), strict=True))}
        return np.array([place_of.get(pair, NOBODY) for pair in zip(*keys.tolist(), strict=True)], np.int64)
    if not len(order):
        return np.full(keys.shape[1], NOBODY)
    found: Integers = order[np.minimum(np.searchsorted(ordered, keys[0]), len(order) - 1)]
    found[(others[:, found] != keys).any(axis=0)] = NOBODY
    return found


def _is_moved(splits: Codes, given: Codes, rule: str) -> Mask:
    """Whether the layout names another split than each recording is in."""
    to_or_from_test = (given == GIVEN_TEST) != (splits == TEST)
    says_valid = given == GIVEN_VALID
    back = ~says_valid & (splits == VALID) & (rule == "layout")
    moved: Mask = to_or_from_test | (says_valid & (splits == TRAIN)) | back
    return moved


def _number_given(given: pa.Array) -> Codes:
    known = {"valid": GIVEN_VALID, "test": GIVEN_TEST}
    return np.array([known.get(name, NOT_GIVEN) for name in given.to_pylist()], np.int8)


_KINDS_OF = {"key": pa.string(), "row": pa.string(), "split": pa.string(), "since": pa.int32(), "until": pa.int32()}
_KINDS = tuple(_KINDS_OF.values())


def _number_versions(batch: pa.RecordBatch) -> tuple[Hashes, Hashes, Codes, Numbers, Numbers]:
    digits = bytes_of_texts(batch["row"])
    if len(digits) != ROW_DIGITS * len(batch):
        raise ValueError("a row has no digest")
    return (
        hash_keys(batch["key"]),
        number_rows(batch["row"].to_pylist()),
        number_splits(batch["split"]),
        to_numbers(batch["since"]),
        to_numbers(batch["until"], missing=0),
    )


def _key_at(history: History, version: int) -> str:
    """The key of the version with this number."""
    for batch in history.stream(("key",)):
        if version < len(batch):
            return str(batch["key"][version].as_py())
        version -= len(batch)
    raise IndexError(version)
