"""Findings: sentences about the numbers of a run. Each sentence is computed from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from wavlm.evaluation.facts import ScoresFacts
from wavlm.evaluation.fast.words import describe_abx
from wavlm.pipeline.results import IterationResults, LabelQuality, LayerPnmi, TrainingResults

MOVED_SHARE = 0.01  # a loss that moved by less has not moved
CLEARLY = 0.01  # masked accuracy this far above the majority label's share beats it


def findings(results: Sequence[IterationResults]) -> Iterator[str]:
    """Sentences on each iteration, then on each iteration against the one before."""
    for result in results:
        if result.training:
            yield from _describe_training(result.iteration, result.training)
        if result.layers:
            yield _describe_layers(result.iteration, result.layers)
        if result.scores:
            yield from _describe_scores(result.iteration, result.scores)
        yield from result.notes
    with_quality = [(item.iteration, item.quality) for item in results if item.quality]
    for before, after in pairwise(with_quality):
        yield _compare_labels(before, after)


def _describe_training(iteration: int, training: TrainingResults) -> Iterator[str]:
    for what, ends in (("training", training.train_loss), ("validation", training.valid_loss)):
        if ends:
            yield _describe_loss(iteration, what, *ends)
    if training.hard_perplexity:
        first, last = training.hard_perplexity
        yield (
            f"Iteration {iteration}: the hard perplexity of the codes went from {first:.1f} to {last:.1f} on held-out "
            "speech. Where it falls to that of one code, the loss is best and nothing is learned."
        )
    if training.copies_of_valid:
        yield (
            f"Iteration {iteration}: {training.copies_of_valid:,} utterances of train were left out, because their "
            "audio is in a valid split."
        )
    accuracy, majority = training.masked_accuracy, training.majority
    if accuracy is not None and majority is not None:
        beats = accuracy - majority > CLEARLY
        yield (
            f"Iteration {iteration}: masked accuracy of {100 * accuracy:.1f} % "
            f"{'beats' if beats else 'does not clearly beat'} always guessing the commonest label "
            f"({100 * majority:.1f} %)."
        )


def _describe_loss(iteration: int, what: str, first: float, last: float) -> str:
    change = (last - first) / abs(first) if first else 0.0
    verb = "did not move"
    if abs(change) > MOVED_SHARE:
        verb = "fell" if change < 0 else "rose"
    return f"Iteration {iteration}: the {what} loss {verb}, from {first:.3f} to {last:.3f}."


def _describe_layers(iteration: int, layers: LayerPnmi) -> str:
    best = layers.pnmi[layers.best_layer]
    share = "more" if best > layers.mfcc_pnmi else "no more"
    return (
        f"Iteration {iteration}: its best layer ({layers.best_layer}) carries {share} phone information than MFCC: "
        f"PNMI {best:.3f} against {layers.mfcc_pnmi:.3f}, same frames of {layers.judged_on} speech, "
        f"K={layers.num_clusters}."
    )


def _describe_scores(iteration: int, scores: ScoresFacts) -> Iterator[str]:
    yield from (f"Iteration {iteration}: its lowest {sentence}." for sentence in describe_abx(scores))
    if scores.advice:
        yield f"Iteration {iteration}: {scores.advice}."


def _compare_labels(before: tuple[int, LabelQuality], after: tuple[int, LabelQuality]) -> str:
    (old_number, old), (number, new) = before, after
    comparison = f"PNMI {new.pnmi:.3f} ({new.features}) against {old.pnmi:.3f} ({old.features}, iteration {old_number})"
    if not old.is_comparable(new):
        return (
            f"Iteration {number}: {comparison} is no comparison: K={new.num_clusters} on "
            f"{new.num_frames:,} frames, K={old.num_clusters} on {old.num_frames:,} frames before."
        )
    share = "more" if new.pnmi > old.pnmi else "no more"
    return (
        f"Iteration {number}: its labels carry {share} phone information than those before: {comparison}, on the "
        f"same {new.num_frames:,} frames with the same K={new.num_clusters}."
    )
