"""Accuracy, macro recall and the table of confusions of a task with one class per utterance (KS, SID, IC, ER).

Legend: U utterances, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavlm.evaluation.metrics.checks import Bools, Floats, require_pairs, undefined


@dataclass(frozen=True)
class Confusions:
    """How many utterances of each class were given each class."""

    classes: tuple[str, ...]  # in the order of the alphabet: those of the references and of the results
    counts: npt.NDArray[np.int64]  # (C, C): rows are references, columns results

    @property
    def num_correct(self) -> int:
        return int(self.counts.trace())

    @property
    def num_utterances(self) -> int:
        return int(self.counts.sum())

    @property
    def accuracy(self) -> float:
        """The share of utterances whose class is right."""
        return self.num_correct / self.num_utterances

    @property
    def recalls(self) -> dict[str, float]:
        """The share of the right ones of each class that the references have."""
        totals = self.counts.sum(axis=1)
        shares = ((name, row) for row, name in enumerate(self.classes) if totals[row])
        return {name: float(self.counts[row, row] / totals[row]) for name, row in shares}

    @property
    def macro_recall(self) -> float:
        """The mean of the recalls ("unweighted average recall"): rare classes count as much as frequent ones."""
        recalls = self.recalls
        return sum(recalls.values()) / len(recalls)


def count_confusions(references: Sequence[str], found: Sequence[str]) -> Confusions:
    """The table of confusions of the classes of utterances (U,).

    Raises BadDataError: METRIC_MISFIT where the two differ in length, METRIC_UNDEFINED where the references have fewer
    than two classes, because any model that says that class would be perfect.
    """
    require_pairs("accuracy", references, found)
    require_classes(references)
    classes = tuple(sorted({*references, *found}))
    row = {name: number for number, name in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, ([row[name] for name in references], [row[name] for name in found]), 1)
    return Confusions(classes, counts)


def require_classes(references: Iterable[str]) -> None:
    """Raise BadDataError (METRIC_UNDEFINED) where references have fewer than two classes. Reads up to the second."""
    first, count = "", 0
    for name in references:
        first, count = name if count == 0 else first, count + 1
        if name != first:
            return
    raise undefined(
        f"accuracy: all {count} references are of the class '{first}'",
        "expected at least 2 classes",
        "check the labels and the split of the corpus",
    )


def are_correct(references: Sequence[str], found: Sequence[str]) -> Bools:
    """Whether the class of each utterance is right, (U,)."""
    require_pairs("accuracy", references, found)
    return np.array([ours == theirs for ours, theirs in zip(references, found, strict=True)])


def sums_of(correct: Bools) -> Floats:
    """Numbers per utterance whose sums give the accuracy: right ones, and all (U, 2)."""
    return np.stack([correct.astype(np.float64), np.ones(len(correct))], axis=1)
