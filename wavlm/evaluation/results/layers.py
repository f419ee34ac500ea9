"""Which layers the heads of a model weigh, over its evaluations: where each group of tasks is centred, and as CSV.

Layer 0 is the encoder's input. A share is a softmax weight times the mean norm of the layer, made to sum to 1: weights
alone say little where layers differ in size.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from wavlm.evaluation.results.facts import EvaluationFacts
from wavlm.evaluation.results.groups import group_of, in_groups

COLUMNS = ("group", "task", "evaluation", "metric", "lower_is_better", "layer", "weight", "norm", "share", "alone")


def with_layers(results: Iterable[EvaluationFacts]) -> list[EvaluationFacts]:
    """The results that have layer weights, in the order of SUPERB's groups. All must be of one model."""
    return [item for _, items in in_groups(results) for item in items if item.layers]


def centre_of(facts: EvaluationFacts) -> float:
    """The mean layer, weighted by the shares."""
    return sum(item.layer * item.share for item in facts.layers)


def describe_centres(results: Sequence[EvaluationFacts], name: str) -> str:
    """Where each group of tasks is centred, with the spread over its tasks; empty without layer weights.

    Tasks on synthetic speech are left out: the sentence is a claim.
    """
    found = with_layers(item for item in results if item.is_claim)
    if not found:
        return ""
    parts = [_describe_group(group, items) for group, items in in_groups(found)]
    last = max(item.layer for item in found[0].layers)
    return (
        f"Of the layers 0 to {last} of {name}, weighted by their shares, {'; '.join(parts)}. Equal shares would be "
        f"centred on {last / 2:.1f}."
    )


def to_csv(results: Sequence[EvaluationFacts]) -> str:
    """One row per evaluation and layer, in full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(results))
    return text.getvalue()


def _describe_group(group: str, items: Sequence[EvaluationFacts]) -> str:
    centres = [centre_of(item) for item in items]
    mean = sum(centres) / len(centres)
    if len(items) == 1:
        return f"{group} ({items[0].evaluation}) is centred on {mean:.1f}"
    return f"{group} is centred on {mean:.1f} ({min(centres):.1f} to {max(centres):.1f} over {len(items)} evaluations)"


def _rows(results: Sequence[EvaluationFacts]) -> Iterator[tuple[object, ...]]:
    for facts in with_layers(results):
        metric, is_lower = (facts.main.name, int(facts.main.is_lower_better)) if facts.main else ("", 0)
        for it in facts.layers:
            alone = "" if it.alone is None else it.alone
            about = group_of(facts.task), facts.task, facts.evaluation, metric, is_lower
            yield (*about, it.layer, it.weight, it.norm, it.share, alone)
