"""Split a corpus into train and valid: as the layout or the spec says, else by hashes of names.

A hash looks at one name alone. So a corpus that grows keeps its validation set: no speaker and no recording that was
held out is ever trained on later, as long as rule and threshold stay (docs/decisions/0022-splits-and-folders.md).

Where recordings are regions of files, the name of a region without a speaker is its file, so that one unknown voice is
not in both splits (docs/decisions/0042-regions-and-pauses.md).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from wavlm.corpus.candidates import (
    Candidates,
    Mask,
    Numbers,
    candidates_of,
    hash_names,
)
from wavlm.corpus.facts import SplitRule
from wavlm.corpus.manifest import ManifestRow
from wavlm.corpus.regions import find_overlaps
from wavlm.errors import BadDataError, UsageError
from wavlm.specs import CorpusSpec, HoldOut
from wavlm.storage.texts import Among

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


@dataclass(frozen=True, eq=False)
class Parting:
    """How candidates are split. Each array has an entry per candidate; those in none of them are in train."""

    is_valid: Mask
    is_copy: Mask  # of the content of a valid one
    overlaps: Mask  # a train region that shares audio with a valid one
    rule: SplitRule
    below: float


@dataclass(frozen=True, eq=False)
class _Held:
    rule: SplitRule
    below: float
    mask: Mask


def split(rows: Sequence[ManifestRow], spec: CorpusSpec, given: frozenset[str] = frozenset()) -> Split:
    """`part` for rows in memory. `given`: keys that the layout puts into the valid split."""
    made = part(candidates_of(rows, spec, given), spec, lambda mask: [rows[at] for at in np.flatnonzero(mask).tolist()])
    flags = list(zip(rows, made.is_valid.tolist(), made.is_copy.tolist(), made.overlaps.tolist(), strict=True))
    return Split(
        tuple(
            replace(row, split="valid" if is_valid else "train") for row, is_valid, *is_out in flags if not any(is_out)
        ),
        made.rule,
        made.below,
        tuple(replace(row, split="train") for row, _, is_copy, _ in flags if is_copy),
        tuple(replace(row, split="train") for row, _, _, overlaps in flags if overlaps),
    )


def part(rows: Candidates, spec: CorpusSpec, read: Callable[[Mask], Sequence[ManifestRow]]) -> Parting:
    """Hold recordings out for validation. `read`: the rows of some candidates, which are few.

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
    held = _choose(rows, spec)
    _check_share(rows, spec, held)
    is_copy = ~held.mask & Among(rows.contents[held.mask]).find(rows.contents)
    overlaps = _find_overlaps(rows, held.mask, is_copy, default_channel(spec), read)
    made = Parting(held.mask, is_copy, overlaps, held.rule, held.below)
    _check_train(made, spec)
    return made


def _find_overlaps(
    rows: Candidates,
    is_valid: Mask,
    is_copy: Mask,
    channel: int | None,
    read: Callable[[Mask], Sequence[ManifestRow]],
) -> Mask:
    """Which train recordings share audio with a valid one. Only rows of files that are in both splits are read."""
    near = ~is_valid & ~is_copy & Among(rows.files[is_valid]).find(rows.files)
    found = np.zeros(len(rows), np.bool_)
    if near.any():
        held = is_valid & Among(rows.files[near]).find(rows.files)
        some = read(near)
        shared = find_overlaps(some, read(held), channel)
        found[np.flatnonzero(near)] = [row.key in shared for row in some]
    return found


def hold_new(rows: pa.Table, spec: CorpusSpec, is_given: Mask, rule: SplitRule, below: float) -> Mask:
    """What is held out of the recordings that come into a corpus later, by the rule that it was begun with.

    rows: with the columns that `hash_names` needs. is_given: those that the layout puts into the valid split.
    """
    if rule == "listed":
        speakers = rows["speaker"].to_pylist()
        return is_given | np.array([speaker in spec.valid_speakers for speaker in speakers], np.bool_)
    if rule not in ("speakers", "recordings"):
        return is_given
    held: Mask = is_given | (hash_names(rows, by_speaker=rule == "speakers") < below)
    return held


def default_channel(spec: CorpusSpec) -> int | None:
    """The channel of rows that name none; None: all of them."""
    if isinstance(spec.channels, int):
        return spec.channels
    return 1 if spec.channels == "first" else None


def _choose(rows: Candidates, spec: CorpusSpec) -> _Held:
    if spec.valid_speakers:
        _check_listed(rows, spec)
        return _Held("listed", 0.0, rows.is_listed)
    if rows.is_given.any():
        return _Held("layout", 0.0, rows.is_given)
    if spec.valid_rule is not None:
        return _apply(rows, spec, spec.valid_rule)
    nobody = _Held("none", 0.0, np.zeros(len(rows), np.bool_))
    return _hold_share(rows, spec) if spec.valid_fraction else nobody


def _hold_share(rows: Candidates, spec: CorpusSpec) -> _Held:
    """Speakers below `valid_fraction`, or recordings if these are too few or too many."""
    if not rows.is_known.any():
        return _hold_some(rows, "recordings", spec.valid_fraction)
    by_speakers = _hold(rows, "speakers", spec.valid_fraction)
    share = _share(rows, by_speakers.mask)
    if 0 < share <= TOO_MUCH * spec.valid_fraction:
        return by_speakers
    held = _hold_some(rows, "recordings", spec.valid_fraction)
    if _share(rows, held.mask) > MOST:
        by_speakers = _hold_some(rows, "speakers", spec.valid_fraction)
        if 0 < _share(rows, by_speakers.mask) <= MOST:
            return by_speakers
    logger.warning(
        "%s: whole speakers would hold out %.1f %% of the audio where %.1f %% are asked for; "
        "recordings are held out instead, %.1f %%",
        spec.name,
        100 * share,
        100 * spec.valid_fraction,
        100 * _share(rows, held.mask),
    )
    return held


def _apply(rows: Candidates, spec: CorpusSpec, rule: HoldOut) -> _Held:
    """What a rule holds out; recordings if it is about speakers and none of them is below the threshold."""
    held = _hold(rows, rule.by, rule.below)
    if not held.mask.any():
        held = _hold_some(rows, "recordings", rule.below)
    share = _share(rows, held.mask)
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


def _hashes(rows: Candidates, rule: SplitRule) -> Numbers:
    return rows.by_speaker if rule == "speakers" else rows.by_recording


def _hold(rows: Candidates, rule: SplitRule, below: float) -> _Held:
    return _Held(rule, below, _hashes(rows, rule) < below)


def _hold_some(rows: Candidates, rule: SplitRule, below: float) -> _Held:
    """Recordings or speakers below the threshold, which is raised until they have half of the share asked for."""
    enough = ENOUGH * below
    held = _hold(rows, rule, below)
    hashes = _hashes(rows, rule)
    higher = iter(np.unique(hashes[hashes >= below]).tolist())
    while _share(rows, held.mask) < enough and (number := next(higher, None)) is not None:
        raised = math.floor(number * 10**THRESHOLD_DIGITS + 1) / 10**THRESHOLD_DIGITS
        held = _hold(rows, rule, raised)
    return held


def _share(rows: Candidates, mask: Mask) -> float:
    """Share of the audio that these recordings have: of the seconds, or of the recordings if no length is known."""
    total = int(rows.microseconds.sum())
    return int(rows.microseconds[mask].sum()) / total if total else int(mask.sum()) / len(rows)


def _check_listed(rows: Candidates, spec: CorpusSpec) -> None:
    if unknown := sorted(set(spec.valid_speakers).difference(rows.speakers)):
        raise UsageError(
            "SPEAKER",
            f"valid_speakers {', '.join(unknown)} are not among the {len(rows.speakers)} speakers, "
            f"such as {', '.join(rows.speakers[:5])}; in {spec.name}; correct the corpus spec",
        )


def all_in_test(name: str, count: int, root: Path) -> BadDataError:
    """The error for a corpus that has nothing but its publisher's test split."""
    return BadDataError(
        "CORPUS_EMPTY",
        f"all {count} recordings of {name} are in its publisher's test split; in {root}; check the column that names "
        "the split in the corpus spec",
    )


def _check_share(rows: Candidates, spec: CorpusSpec, held: _Held) -> None:
    if spec.role != "speech" or held.rule in ("none", "listed", "layout"):
        return  # noise and rooms may be one file; listed ones are what somebody asked for
    if held.mask.all() and len(np.unique(rows.by_recording)) == 1:
        what = "1 recording" if len(rows) == 1 else f"{len(rows)} regions of 1 recording"
        raise BadDataError(
            "VALID_EMPTY",
            f"{spec.name} has {what}, which cannot be both trained on and held out; in the corpus spec; "
            "add recordings, or set valid_fraction to 0",
        )
    share = _share(rows, held.mask)
    if share > MOST:
        raise BadDataError(
            "VALID_TOO_LARGE",
            f"{100 * share:.1f} % of the audio of {spec.name} ({int(held.mask.sum())} of {len(rows)} recordings, "
            f"chosen by {held.rule}) would be held out, expected about {100 * spec.valid_fraction:.1f} % and at most "
            "half; in the corpus spec; name valid_speakers, or change valid_fraction",
        )


def _check_train(made: Parting, spec: CorpusSpec) -> None:
    num_valid, num_copies, num_overlaps = (int(mask.sum()) for mask in (made.is_valid, made.is_copy, made.overlaps))
    if spec.role == "speech" and num_valid and num_valid + num_copies + num_overlaps == len(made.is_valid):
        raise BadDataError(
            "VALID_TOO_LARGE",
            f"no recording of {spec.name} is left to train on: {num_valid} are held out (chosen by {made.rule}), "
            f"{num_copies} are copies of these, {num_overlaps} share audio with them; in the corpus spec; add other "
            "recordings, or set valid_fraction to 0 and name no valid split",
        )
