"""Accuracy and macro recall: against scikit-learn, and where they have no value."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix

from wavlm.errors import BadDataError
from wavlm.evaluation.metrics.classification import are_correct, count_confusions, sums_of


def test_accuracy_macro_recall_and_counts_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    references = [f"c{number}" for number in rng.choice(5, 400, p=[0.5, 0.2, 0.15, 0.1, 0.05])]
    found = [name if rng.random() < 0.6 else f"c{rng.integers(5)}" for name in references]
    scored = count_confusions(references, found)
    assert scored.accuracy == accuracy_score(references, found)
    assert scored.macro_recall == pytest.approx(balanced_accuracy_score(references, found))
    assert scored.counts.tolist() == confusion_matrix(references, found, labels=scored.classes).tolist()
    assert abs(scored.accuracy - scored.macro_recall) > 0.01
    right = are_correct(references, found)
    assert sums_of(right).sum(axis=0).tolist() == [scored.num_correct, scored.num_utterances]


def test_a_class_that_is_only_found_has_no_recall() -> None:
    scored = count_confusions(["a", "a", "b"], ["a", "c", "b"])
    assert scored.recalls == {"a": 0.5, "b": 1.0}
    assert scored.counts.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert scored.macro_recall == 0.75


def test_one_class_is_refused() -> None:
    with pytest.raises(BadDataError, match=r"METRIC_UNDEFINED: accuracy: all 2 references are of the class 'a'"):
        count_confusions(["a", "a"], ["a", "b"])


def test_lists_of_other_lengths_are_refused() -> None:
    with pytest.raises(BadDataError, match=r"METRIC_MISFIT: accuracy: 3 references and 2 results"):
        count_confusions(["a", "b", "a"], ["a", "b"])
    with pytest.raises(BadDataError, match=r"METRIC_UNDEFINED: accuracy: nothing to score"):
        count_confusions([], [])
