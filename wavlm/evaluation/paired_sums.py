"""Figures that are functions of sums over examples: the numbers of each prediction, and what a sum of them gives.

Legend: U examples, D numbers of each, R draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from wavlm.evaluation.decoding.predictions import GREEDY, LEXICON, WITH_MODEL, read_symbols
from wavlm.evaluation.metrics.checks import Floats
from wavlm.evaluation.metrics.diarization import diarization_errors
from wavlm.evaluation.metrics.slots import count_value_edits, slot_type_f1
from wavlm.evaluation.metrics.translation import bleu_of, corpus_bleu
from wavlm.evaluation.metrics.words import count_edits, split_words
from wavlm.evaluation.paired import Figure
from wavlm.evaluation.tasks.slots import read_slots
from wavlm.specs.pairs import SpeakerDiarization
from wavlm.specs.tasks import TaskSpec

Pair = tuple[Any, Any]  # target and prediction of an example, as the task writes them
Count = Callable[[Sequence[Pair], TaskSpec], Floats]


def count_sums(name: str, pairs: Sequence[Pair], task: TaskSpec) -> tuple[Floats, Figure]:
    """The numbers of each prediction (U, D), and the figure of their sums. name: one of `COUNTS`."""
    return COUNTS[name](pairs, task), bleu_of if name == "bleu" else quotient


def quotient(sums: Floats) -> Floats:
    """What stands above the fraction line by what stands below it, (R, 2) to (R,); 0 where nothing was drawn."""
    found: Floats = np.divide(sums[:, 0], sums[:, 1], out=np.zeros(len(sums)), where=sums[:, 1] > 0)
    return found


def _count_right(pairs: Sequence[Pair], task: TaskSpec) -> Floats:  # noqa: ARG001
    return np.array([[target == found, 1.0] for target, found in pairs], np.float64)


def _count_symbols(pairs: Sequence[Pair], task: TaskSpec, which: str = GREEDY) -> Floats:  # noqa: ARG001
    return count_edits(*_lists(pairs, which)).sums


def _count_words(pairs: Sequence[Pair], task: TaskSpec, which: str = GREEDY) -> Floats:  # noqa: ARG001
    wanted, found = ([split_words("".join(item)) for item in side] for side in _lists(pairs, which))
    return count_edits(wanted, found).sums


def _count_types(pairs: Sequence[Pair], task: TaskSpec) -> Floats:  # noqa: ARG001
    f1 = slot_type_f1(*([read_slots(item) for item in side] for side in _lists(pairs)))
    return np.stack([f1, np.ones(len(f1))], axis=1)


def _count_values(pairs: Sequence[Pair], task: TaskSpec) -> Floats:  # noqa: ARG001
    return count_value_edits(*([read_slots(item) for item in side] for side in _lists(pairs))).sums


def _count_words_of_translations(pairs: Sequence[Pair], task: TaskSpec) -> Floats:  # noqa: ARG001
    return corpus_bleu([target for target, _ in pairs], [found["text"] for _, found in pairs]).sums


def _count_seconds(pairs: Sequence[Pair], task: TaskSpec) -> Floats:
    """Seconds of errors and of speech. Where the target names no stretches, all is scored."""
    assert isinstance(task, SpeakerDiarization)  # noqa: S101 - no other task has this figure
    rows = []
    for target, found in pairs:
        turns, guessed = ([(float(a), float(b), str(name)) for a, b, name in it["turns"]] for it in (target, found))
        whole = [(0.0, max((end_s for _, end_s, _ in (*turns, *guessed)), default=0.0))]
        scored = [(float(a), float(b)) for a, b in target.get("scored", whole)]
        rows.append(diarization_errors(turns, guessed, scored, collar_each_side_s=task.collar_seconds).sums)
    return np.stack(rows)


def _count_rated(name: str) -> Count:
    """The rating of each result; one that cannot be rated counts as none."""

    def count(pairs: Sequence[Pair], task: TaskSpec) -> Floats:  # noqa: ARG001
        values = [found[name] for _, found in pairs]
        return np.array([[0.0, 0.0] if value is None else [value, 1.0] for value in values], np.float64)

    return count


def _lists(pairs: Sequence[Pair], which: str = GREEDY) -> tuple[list[list[str]], list[list[str]]]:
    """Targets and predictions as lists of symbols; of predictions that were decoded twice, those of one result."""
    return [read_symbols(target) for target, _ in pairs], [read_symbols(found, which) for _, found in pairs]


COUNTS: Mapping[str, Count] = {
    "accuracy": _count_right,
    "per": _count_symbols,
    "cer": _count_symbols,
    "wer": _count_words,
    f"cer{WITH_MODEL}": partial(_count_symbols, which=LEXICON),
    f"wer{WITH_MODEL}": partial(_count_words, which=LEXICON),
    "slot_type_f1": _count_types,
    "slot_value_cer": _count_values,
    "bleu": _count_words_of_translations,
    "der": _count_seconds,
    **{name: _count_rated(name) for name in ("pesq", "stoi", "si_sdr", "si_sdri", "mel_mcd")},
}
