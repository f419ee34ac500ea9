"""The splits of what comes into a corpus later: by the rule of its first generation, and apart from all that was there.

What is new or changed is one table in memory. Of the history only those versions are looked at whose audio it may have.

Legend: V versions of a history, P recordings that are there now, O others: those that are not as they were.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from wavlm.corpus.growth.history import History
from wavlm.corpus.growth.match import Integers, Mask
from wavlm.corpus.growth.splits import (
    COPY,
    COPY_OF_TRAIN,
    OVERLAP,
    OVERLAPS_TRAIN,
    TEST,
    TRAIN,
    TWICE,
    VALID,
    Codes,
    number_splits,
)
from wavlm.corpus.manifest import content_texts, place_texts
from wavlm.corpus.regions import AudioRegion, find_overlaps
from wavlm.corpus.split import default_channel, hold_new
from wavlm.errors import BadDataError
from wavlm.specs import CorpusSpec
from wavlm.storage.arrow import from_mask
from wavlm.storage.texts import Among, Hashes, find_later, hash_texts

logger = logging.getLogger(__name__)

SHOWN = 3  # keys in a message
COLUMNS = ("key", "path", "start_s", "end_s", "channel", "speaker", "sha256", "given")  # of what is new or changed
_OF_REGIONS = ("key", "sha256", "start_s", "end_s", "channel")


@dataclass(frozen=True, eq=False)
class Others:
    """Recordings that are new or changed."""

    table: pa.Table  # the columns `COLUMNS`
    numbers: Integers  # (O,) of each in the order of the layout
    contents: Hashes  # (O,) equal for copies
    files: Hashes  # (O,) of the bytes

    @classmethod
    def of(cls, table: pa.Table, numbers: Integers) -> Others:
        return cls(table, numbers, hash_texts(content_texts(table)), hash_texts(table["sha256"]))

    @property
    def is_test(self) -> Mask:
        return self._says("test")

    @property
    def is_given(self) -> Mask:
        """Whether the layout puts it into the valid split."""
        return self._says("valid")

    def choose(self, mask: Mask) -> Others:
        """Those of a mask, (O,)."""
        return Others(self.table.filter(from_mask(mask)), self.numbers[mask], self.contents[mask], self.files[mask])

    def regions(self, mask: Mask) -> list[AudioRegion]:
        """Those of a mask, (O,), one by one: they should be few."""
        return _regions_of(self.table.filter(from_mask(mask)))

    def _says(self, split: str) -> Mask:
        return np.array([given == split for given in self.table["given"].to_pylist()], np.bool_)


@dataclass(frozen=True, eq=False)
class Seen:
    """What a history says of others. What was removed since was trained on, or held out, too."""

    copies: dict[int, Mask]  # for each split which of them, (O,), have the content of one that was ever in it
    near: dict[int, list[AudioRegion]]  # for each split what was ever in it, of the same files
    before: Hashes  # (O,) the content of the version whose place it has; 0: none

    @classmethod
    def of(cls, history: History, others: Others, partner: Integers) -> Seen:
        """partner (O,): the version whose place each may have."""
        known, files = Among(others.contents), Among(others.files)
        contents: dict[int, list[Hashes]] = {TRAIN: [np.zeros(0, np.uint64)], VALID: [np.zeros(0, np.uint64)]}
        near: dict[int, list[AudioRegion]] = {TRAIN: [], VALID: []}
        before, order, at = np.zeros(len(partner), np.uint64), np.argsort(partner, kind="stable"), 0
        ordered = partner[order]
        for batch in history.stream((*_OF_REGIONS, "split")):
            splits, hashes = number_splits(batch["split"]), hash_texts(content_texts(batch))
            is_known, is_near = known.find(hashes), files.find(hash_texts(batch["sha256"]))
            for split in (TRAIN, VALID):
                contents[split].append(hashes[is_known & (splits == split)])
                near[split] += _regions_of(batch.filter(from_mask(is_near & (splits == split))))
            low, high = np.searchsorted(ordered, (at, at + len(batch)))
            before[order[low:high]] = hashes[ordered[low:high] - at]
            at += len(batch)
        found = {split: Among(np.concatenate(some)).find(others.contents) for split, some in contents.items()}
        return cls(found, near, before)

    def choose(self, mask: Mask) -> Seen:
        """What is said of those of a mask, (O,)."""
        return Seen({split: found[mask] for split, found in self.copies.items()}, self.near, self.before[mask])


def split_new(spec: CorpusSpec, history: History, new: Others, seen: Seen, is_named: Mask) -> Codes:
    """The split of each new recording, or why it is in none. Nothing that was there before is moved.

    is_named: which have path and region of a recording that is not new.
    """
    splits = np.where(new.is_test, TEST, TRAIN).astype(np.int8)
    wanted = np.flatnonzero(splits == TRAIN)
    places = hash_texts(place_texts(new.table))[wanted]
    splits[wanted[is_named[wanted] | find_later(places)]] = TWICE
    is_held = (splits == TRAIN) & hold_new(new.table, spec, new.is_given, history.rule, history.below)
    is_train = (splits == TRAIN) & ~is_held
    splits[is_held] = VALID
    overlaps = _find_overlaps(spec, new, is_held, seen.near[TRAIN], np.zeros(len(splits), np.bool_))
    splits[overlaps] = OVERLAPS_TRAIN
    splits[is_held & seen.copies[TRAIN]] = COPY_OF_TRAIN
    splits[_find_overlaps(spec, new, is_train, seen.near[VALID], is_held)] = OVERLAP
    splits[is_train & (seen.copies[VALID] | Among(new.contents[is_held]).find(new.contents))] = COPY
    return splits


def check_splits(spec: CorpusSpec, before: Codes, now: Codes) -> None:
    """Refuse a corpus of speech whose held-out or whose other recordings were all removed.

    before, now: the splits of two generations. Raises BadDataError (VALID_EMPTY, VALID_TOO_LARGE).
    """
    if spec.role != "speech":
        return
    if (before == VALID).any() and not (now == VALID).any():
        raise BadDataError(
            "VALID_EMPTY",
            f"all held-out recordings of {spec.name} were removed; in the folder of the corpus; add some, or begin a "
            "new list: wavlm grow CORPUS --compact",
        )
    if (before == TRAIN).any() and not (now == TRAIN).any():
        raise BadDataError(
            "VALID_TOO_LARGE",
            f"no recording of {spec.name} is left to train on, the others were removed; in the folder of the corpus; "
            "add some, or begin a new list: wavlm grow CORPUS --compact",
        )


def warn_of_speakers(spec: CorpusSpec, history: History, changed: Others, splits: Codes) -> None:
    """Say which recordings stay in train although their speaker, who was named otherwise before, is held out."""
    nobody = np.zeros(len(splits), np.bool_)
    held = hold_new(changed.table, spec, nobody, history.rule, history.below) & (splits == TRAIN)
    if held.any():
        logger.warning(
            "%s: %d recordings stay in train, where they were, although their speaker, who has another name now, is "
            "held out: %s; to draw anew: wavlm grow CORPUS --compact",
            spec.name,
            int(held.sum()),
            ", ".join(sorted(changed.table["key"].filter(from_mask(held)).to_pylist())[:SHOWN]),
        )


def _find_overlaps(spec: CorpusSpec, new: Others, rows: Mask, before: Sequence[AudioRegion], beside: Mask) -> Mask:
    """Which of some new recordings share audio with what was there before, or with new ones beside them."""
    files = hash_texts(pa.array([region.sha256 for region in before], pa.string()))
    near = rows & Among(np.concatenate([files, new.files[beside]])).find(new.files)
    held = [*before, *new.regions(beside & Among(new.files[near]).find(new.files))]
    shared = find_overlaps(new.regions(near), held, default_channel(spec))
    keys = new.table["key"].filter(from_mask(near)).to_pylist()
    found = np.zeros(len(rows), np.bool_)
    found[np.flatnonzero(near)] = [key in shared for key in keys]
    return found


def _regions_of(rows: pa.Table | pa.RecordBatch) -> list[AudioRegion]:
    return [AudioRegion(**row) for row in rows.select(_OF_REGIONS).to_pylist()]
