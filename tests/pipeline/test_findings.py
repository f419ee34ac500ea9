"""Sentences follow the numbers, whichever way they point."""

from __future__ import annotations

from dataclasses import replace

from wavlm.pipeline.findings import findings
from wavlm.pipeline.results import IterationResults, LabelQuality, LayerPnmi, TrainingResults

MFCC = LabelQuality("MFCC", 100, 0.30, 0.35, 0.1, 81234, ("shards",))
HIDDEN = replace(MFCC, features="layer 4", pnmi=0.40)
TRAINING = TrainingResults(1000, (5.0, 3.0), (4.5, 3.2), 0.30, 0.25, 0.06)


def said(*results: IterationResults) -> str:
    return "\n".join(findings(results))


def test_loss_is_said_to_fall_rise_or_stay_as_it_did() -> None:
    falling = said(IterationResults(1, None, TRAINING, None))
    assert "Iteration 1: the training loss fell, from 5.000 to 3.000." in falling
    rising = said(IterationResults(1, None, replace(TRAINING, valid_loss=(3.0, 3.5)), None))
    assert "the validation loss rose, from 3.000 to 3.500" in rising
    still = said(IterationResults(1, None, replace(TRAINING, train_loss=(3.0, 2.99)), None))
    assert "the training loss did not move" in still


def test_masked_accuracy_beats_the_commonest_label_only_if_it_does() -> None:
    assert "30.0 % beats always guessing the commonest label (6.0 %)" in said(IterationResults(1, None, TRAINING, None))
    assert "6.5 % does not clearly beat" in said(
        IterationResults(1, None, replace(TRAINING, masked_accuracy=0.065), None)
    )


def test_iterations_are_compared_on_the_same_frames_with_the_same_k_only() -> None:
    better = said(IterationResults(1, MFCC, None, None), IterationResults(2, HIDDEN, None, None))
    assert "Iteration 2: its labels carry more phone information" in better
    assert "on the same 81,234 frames with the same K=100" in better
    worse = said(IterationResults(1, MFCC, None, None), IterationResults(2, replace(HIDDEN, pnmi=0.2), None, None))
    assert "carry no more phone information" in worse
    for other in (
        replace(HIDDEN, num_clusters=500),
        replace(HIDDEN, num_frames=5),
        replace(HIDDEN, frames_of=("other",)),
    ):
        unlike = said(IterationResults(1, MFCC, None, None), IterationResults(2, other, None, None))
        assert "is no comparison" in unlike
        assert "carry more" not in unlike


def test_the_best_layer_is_held_against_mfcc() -> None:
    good = said(IterationResults(1, None, None, LayerPnmi(50, {1: 0.3, 2: 0.5}, 0.4)))
    assert "its best layer (2) carries more phone information than MFCC: PNMI 0.500 against 0.400" in good
    bad = said(IterationResults(1, None, None, LayerPnmi(50, {1: 0.3, 2: 0.35}, 0.4)))
    assert "carries no more phone information than MFCC" in bad


def test_nothing_is_said_about_what_was_not_measured() -> None:
    assert said(IterationResults(1, None, None, None)) == ""
