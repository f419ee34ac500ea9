"""Slot filling: F1 of slot types, and character error rate of slot values, as SUPERB's reference counts them.

F1 is of the set of types of an utterance, and the mean over utterances is reported: not one F1 over all slots. The CER
compares each value of the reference with that found value of the same type which is nearest to it; with nothing where
that type was not found. Values that were found beyond those cost nothing in the CER: the F1 counts their types.

Legend: U utterances.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wavlm.evaluation.metrics.checks import Floats, require_pairs, undefined
from wavlm.evaluation.metrics.words import EditCounts, count_edits, split_characters

Slots = Sequence[tuple[str, str]]  # type and value


def slot_type_f1(references: Sequence[Slots], found: Sequence[Slots]) -> Floats:
    """The F1 of the slot types of each utterance (U,). It is 1 where neither side has a slot, 0 where only one has."""
    require_pairs("slot-type F1", references, found)
    types = [
        ({name for name, _ in ours}, {name for name, _ in theirs})
        for ours, theirs in zip(references, found, strict=True)
    ]
    return np.array(
        [2 * len(ours & theirs) / (len(ours) + len(theirs)) if ours or theirs else 1.0 for ours, theirs in types]
    )


def count_value_edits(references: Sequence[Slots], found: Sequence[Slots]) -> EditCounts:
    """Edits of characters of the slot values, spaces included, summed by utterance (U,).

    Raises BadDataError (METRIC_UNDEFINED) where no reference has a slot.
    """
    require_pairs("slot-value CER", references, found)
    rows = [row for row, slots in enumerate(references) for _ in slots]
    if not rows:
        raise undefined(
            f"slot-value CER: none of {len(references)} references has a slot",
            "expected at least one",
            "check the slots of the corpus",
        )
    wanted = [value for slots in references for _, value in slots]
    nearest = [
        _nearest(value, [theirs for kind, theirs in found[row] if kind == name])
        for row, slots in enumerate(references)
        for name, value in slots
    ]
    edits = count_edits([_characters(value) for value in wanted], [_characters(value) for value in nearest])
    parts = (edits.substitutions, edits.deletions, edits.insertions, edits.lengths)
    return EditCounts(*(np.bincount(rows, part, len(references)).astype(np.int64) for part in parts))


def _nearest(value: str, candidates: Sequence[str]) -> str:
    """The candidate with the fewest edits, the first of several; nothing where there is none."""
    if len(candidates) < 2:
        return candidates[0] if candidates else ""
    edits = count_edits([_characters(value)] * len(candidates), [_characters(candidate) for candidate in candidates])
    return candidates[int(edits.errors.argmin())]


def _characters(value: str) -> list[str]:
    return split_characters(value, keep_spaces=True)
