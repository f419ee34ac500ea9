"""Split a corpus into train and valid: as the layout or the spec says, else by hashes of names.

A hash looks at one name alone. So a corpus that grows keeps its validation set: no speaker and no recording that was
held out is ever trained on later, as long as rule and threshold stay (docs/decisions/0022-splits-and-folders.md).

Where recordings are regions of files, the name of a region without a speaker is its file, so that one unknown voice is
not in both splits (docs/decisions/0042-regions-and-pauses.md).
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from wavlm.corpus.facts import SplitRule
from wavlm.corpus.layouts import UNKNOWN_SPEAKER
from wavlm.corpus.manifest import ManifestRow
from wavlm.corpus.regions import find_overlaps
from wavlm.errors import BadDataError, UsageError
from wavlm.specs import CorpusSpec, HoldOut

if TYPE_CHECKING:
    from wavlm.corpus.regions import Row

logger = logging.getLogger(__name__)

TOO_MUCH = 2  # times the share asked for: then whole speakers are too coarse
ENOUGH = 0.5  # of the share asked for, where recordings are held out: matters for some dozens of recordings
MOST = 0.5  # of the audio: more is never meant
THRESHOLD_DIGITS = 6


@dataclass(frozen=True)
class Split:
    """Rows with their final split, how it was chosen, and the train rows that were left out."""

    rows: tuple[ManifestRow, ...]
    rule: SplitRule
    below: float  # threshold of the hashes; 0 where no hash decided
    copies: tuple[ManifestRow, ...]  # of the content of a valid row; they are in no split
    overlaps: tuple[ManifestRow, ...] = ()  # train regions that share audio with a valid row; they are in no split


@dataclass(frozen=True)
class _Held:
    rule: SplitRule
    below: float
    keys: frozenset[str]


def split(rows: Sequence[ManifestRow], spec: CorpusSpec, given: frozenset[str] = frozenset()) -> Split:
    """Hold recordings out for validation. `given`: keys that the layout puts into the valid split.

    The first of these that applies:

    1. `valid_speakers` of the spec.
    2. The layout's own split.
    3. Speakers whose hash is below `valid_fraction`; a recording of an unknown speaker counts as one of its own.
    4. If these are none, or have more than twice that share of the audio: recordings whose hash is below it. If these
       have less than half of it, the threshold is raised to the next hashes. All regions of one file count as one
       recording.
    5. If these are more than half of the audio, because the files are few: speakers by 3, with the threshold of 4.

    `valid_rule` of the spec fixes the choice between 3 and 4. A train recording with the content of a valid one (the
    same region of the same bytes) leaves the corpus, and so does a region that shares audio with a valid one.

    Raises UsageError (SPEAKER) for a listed speaker that the corpus does not have, and BadDataError of a speech corpus:
    VALID_EMPTY if nothing can be held out, VALID_TOO_LARGE if 3 or 4 hold out more than half of the audio, or if
    nothing is left to train on.
    """
    held = _choose(rows, spec, given)
    _check_share(rows, spec, held)
    both = [replace(row, split="valid" if row.key in held.keys else "train") for row in rows]
    valid, train = ([row for row in both if row.split == name] for name in ("valid", "train"))
    contents = {row.content for row in valid}
    copies = tuple(row for row in train if row.content in contents)
    left = {row.key for row in copies}
    shared = find_overlaps((row for row in train if row.key not in left), valid, default_channel(spec))
    overlaps = tuple(row for row in train if row.key in shared)
    kept = tuple(row for row in both if row.key not in left and row.key not in shared)
    made = Split(kept, held.rule, held.below, copies, overlaps)
    _check_train(made, spec)
    return made


def hold_new(
    rows: Sequence[Row], spec: CorpusSpec, given: frozenset[str], rule: SplitRule, below: float
) -> frozenset[str]:
    """Keys of what is held out of the recordings that come into a corpus later, by the rule that it was begun with."""
    if rule == "listed":
        return given.union(row.key for row in rows if row.speaker in spec.valid_speakers)
    return given | _hold(rows, rule, below).keys if rule in ("speakers", "recordings") else given


def default_channel(spec: CorpusSpec) -> int | None:
    """The channel of rows that name none; None: all of them."""
    if isinstance(spec.channels, int):
        return spec.channels
    return 1 if spec.channels == "first" else None


def hash_name(name: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    digest = hashlib.sha256(b"valid " + name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _choose(rows: Sequence[ManifestRow], spec: CorpusSpec, given: frozenset[str]) -> _Held:
    if spec.valid_speakers:
        _check_listed(rows, spec)
        return _Held("listed", 0.0, frozenset(row.key for row in rows if row.speaker in spec.valid_speakers))
    if given:
        return _Held("layout", 0.0, given)
    if spec.valid_rule is not None:
        return _apply(rows, spec, spec.valid_rule)
    return _hold_share(rows, spec) if spec.valid_fraction else _Held("none", 0.0, frozenset())


def _hold_share(rows: Sequence[ManifestRow], spec: CorpusSpec) -> _Held:
    """Speakers below `valid_fraction`, or recordings if these are too few or too many."""
    if all(row.speaker == UNKNOWN_SPEAKER for row in rows):
        return _hold_some(rows, "recordings", spec.valid_fraction)
    by_speakers = _hold(rows, "speakers", spec.valid_fraction)
    share = _share(rows, by_speakers.keys)
    if 0 < share <= TOO_MUCH * spec.valid_fraction:
        return by_speakers
    held = _hold_some(rows, "recordings", spec.valid_fraction)
    if _share(rows, held.keys) > MOST:
        by_speakers = _hold_some(rows, "speakers", spec.valid_fraction)
        if 0 < _share(rows, by_speakers.keys) <= MOST:
            return by_speakers
    logger.warning(
        "%s: whole speakers would hold out %.1f %% of the audio where %.1f %% are asked for; "
        "recordings are held out instead, %.1f %%",
        spec.name,
        100 * share,
        100 * spec.valid_fraction,
        100 * _share(rows, held.keys),
    )
    return held


def _apply(rows: Sequence[ManifestRow], spec: CorpusSpec, rule: HoldOut) -> _Held:
    """What a rule holds out; recordings if it is about speakers and none of them is below the threshold."""
    held = _hold(rows, rule.by, rule.below)
    if not held.keys:
        held = _hold_some(rows, "recordings", rule.below)
    share = _share(rows, held.keys)
    if 0 < TOO_MUCH * spec.valid_fraction < share:
        logger.warning(
            "%s: the rule of an earlier revision (%s below %g) holds out %.1f %% of the audio where %.1f %% are asked "
            "for; it stays, so that nothing that was held out is trained on; to draw anew, change valid_fraction",
            spec.name,
            rule.by,
            rule.below,
            100 * share,
            100 * spec.valid_fraction,
        )
    return held


def _hold(rows: Sequence[Row], rule: SplitRule, below: float) -> _Held:
    hashes = _hash_rows(rows, rule)
    keys = frozenset(row.key for row, number in zip(rows, hashes, strict=True) if number < below)
    return _Held(rule, below, keys)


def _hold_some(rows: Sequence[ManifestRow], rule: SplitRule, below: float) -> _Held:
    """Recordings or speakers below the threshold, which is raised until they have half of the share asked for."""
    enough = ENOUGH * below
    held = _hold(rows, rule, below)
    higher = iter(sorted({number for number in _hash_rows(rows, rule) if number >= below}))
    while _share(rows, held.keys) < enough and (number := next(higher, None)) is not None:
        raised = math.floor(number * 10**THRESHOLD_DIGITS + 1) / 10**THRESHOLD_DIGITS
        held = _hold(rows, rule, raised)
    return held


def _hash_rows(rows: Sequence[Row], rule: SplitRule) -> list[float]:
    hash_of = cache(hash_name)
    name_of = _name_of_speaker if rule == "speakers" else _name_of_recording
    return [hash_of(name_of(row)) for row in rows]


def _name_of_speaker(row: Row) -> str:
    return _name_of_recording(row) if row.speaker == UNKNOWN_SPEAKER else row.speaker


def _name_of_recording(row: Row) -> str:
    """The key; of a region the digest of its file, so that all regions of a file, and of its copies, go one way."""
    return row.sha256 if row.is_region else row.key


def _share(rows: Sequence[ManifestRow], keys: frozenset[str]) -> float:
    """Share of the audio that these recordings have: of the seconds, or of the recordings if no length is known."""
    weights = [row.microseconds for row in rows]
    if not any(weights):
        weights = [1] * len(rows)
    return sum(weight for row, weight in zip(rows, weights, strict=True) if row.key in keys) / sum(weights)


def _check_listed(rows: Sequence[ManifestRow], spec: CorpusSpec) -> None:
    speakers = sorted({row.speaker for row in rows})
    if unknown := sorted(set(spec.valid_speakers) - set(speakers)):
        raise UsageError(
            "SPEAKER",
            f"valid_speakers {', '.join(unknown)} are not among the {len(speakers)} speakers, "
            f"such as {', '.join(speakers[:5])}; in {spec.name}; correct the corpus spec",
        )


def all_in_test(name: str, count: int, root: Path) -> BadDataError:
    """The error for a corpus that has nothing but its publisher's test split."""
    return BadDataError(
        "CORPUS_EMPTY",
        f"all {count} recordings of {name} are in its publisher's test split; in {root}; check the column that names "
        "the split in the corpus spec",
    )


def _check_share(rows: Sequence[ManifestRow], spec: CorpusSpec, held: _Held) -> None:
    if spec.role != "speech" or held.rule in ("none", "listed", "layout"):
        return  # noise and rooms may be one file; listed ones are what somebody asked for
    if len(held.keys) == len(rows) and len({_name_of_recording(row) for row in rows}) == 1:
        what = "1 recording" if len(rows) == 1 else f"{len(rows)} regions of 1 recording"
        raise BadDataError(
            "VALID_EMPTY",
            f"{spec.name} has {what}, which cannot be both trained on and held out; in the corpus spec; "
            "add recordings, or set valid_fraction to 0",
        )
    share = _share(rows, held.keys)
    if share > MOST:
        raise BadDataError(
            "VALID_TOO_LARGE",
            f"{100 * share:.1f} % of the audio of {spec.name} ({len(held.keys)} of {len(rows)} recordings, chosen by "
            f"{held.rule}) would be held out, expected about {100 * spec.valid_fraction:.1f} % and at most half; in "
            "the corpus spec; name valid_speakers, or change valid_fraction",
        )


def _check_train(made: Split, spec: CorpusSpec) -> None:
    if spec.role == "speech" and made.rows and all(row.split == "valid" for row in made.rows):
        raise BadDataError(
            "VALID_TOO_LARGE",
            f"no recording of {spec.name} is left to train on: {len(made.rows)} are held out (chosen by {made.rule}), "
            f"{len(made.copies)} are copies of these, {len(made.overlaps)} share audio with them; in the corpus spec; "
            "add other recordings, or set valid_fraction "
            "to 0 and name no valid split",
        )
