"""The gate: whether a new version becomes champion. A version is compared only by what was measured alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from tasks.registry.versions import METRIC_TAG, PROBE_TAG, TAG_OF, VALID_TAG, Version
from wavlm.evaluation.facts import Gain
from wavlm.pipeline.artifacts import Model
from wavlm.pipeline.curves import read_curves
from wavlm.pipeline.plan import scores_of
from wavlm.pipeline.refreshes import aliases_of
from wavlm.specs import GateSpec, Objective, Recipe
from wavlm.specs.gate import LOWER_IS_BETTER, explain_ungated, is_of_task
from wavlm.specs.identity import canonical, key_of

DEFAULT_CONFIDENCE = 0.95  # of a weekly loop
AUTO = ("probe/pnmi", "valid/loss")  # what the metric `auto` tries, in this order
# Settings of the training that a validation loss depends on. The last three decide what is heard: the lengths of the
# crops, and, by the seed, which of their frames are masked.
LOSS_FIELDS = (
    *("objective", "mask", "logit_temperature", "masked_weight", "unmasked_weight", "feature_penalty"),
    *("max_crop_seconds", "group_seconds", "seed"),
)


@dataclass(frozen=True)
class Verdict:
    """Whether a version becomes champion, and why."""

    is_champion: bool
    reason: str
    gain: Gain | None = None  # over the champion, if both were measured anew


def comparable_tags(model: Model, recipe: Recipe) -> dict[str, str]:
    """The tags by which versions know that their metrics are measured alike."""
    settings: dict[str, JsonValue] = {name: canonical(getattr(model.train, name)) for name in LOSS_FIELDS}
    data: list[JsonValue] = [*sorted(item.key for item in model.data)]
    found = {VALID_TAG: key_of({**settings, "data": data})}
    if scores := scores_of(model, recipe):
        shards: list[JsonValue] = [*sorted(item.key for item in scores.shards)]
        found[PROBE_TAG] = key_of({"spec": canonical(scores.spec), "shards": shards})
    return found


def measured_tags(metrics: Mapping[str, float], model_dir: Path, objective: Objective) -> dict[str, str]:
    """The figures that the gate compares, as tags of a version; its run, which all names share, may hold others.

    Validation metrics that the objective does not list are no figures of a version: `auto` may not compare them.
    A curve without a finite number at the last validation has no figure: an older one would be of another model.
    """
    curves = {name: curve for name, curve in read_curves(model_dir).items() if name.startswith("valid/")}
    last = max((curve.steps[-1] for curve in curves.values()), default=0)
    values = {name: curve.last for name, curve in curves.items() if curve.steps[-1] == last} | dict(metrics)
    names = (name for name in TAG_OF if name in values and not explain_ungated(name, objective))
    return {f"{METRIC_TAG}{name}": repr(values[name]) for name in names}


def confidence_of(recipe: Recipe) -> float | None:
    """The confidence of the interval that decides; None if the figures of registration decide."""
    is_measured = bool(aliases_of(recipe)) or is_of_task(recipe.gate.metric)
    return recipe.gate.confidence or (DEFAULT_CONFIDENCE if is_measured else None)


def has_final_labels(model: Model, recipe: Recipe) -> bool:
    """Whether no later iteration of the recipe has other labels, whose loss could not be compared with this one's."""
    return model.iteration == len(recipe.iterations)


def judge(gate: GateSpec, new: Version, champion: Version | None, *, is_final: bool = True) -> Verdict:
    """Whether a version becomes champion.

    Without a champion there is nothing to beat: a version becomes the first one if it has a metric by which the next
    ones can be compared with it. A validation metric is that only in a recipe's final iterations.
    """
    if champion is not None and champion.version == new.version:
        return Verdict(is_champion=True, reason="the champion already")
    obstacles: list[str] = []
    for metric in AUTO if gate.metric == "auto" else (gate.metric,):
        obstacle = _find_obstacle(metric, new, champion, is_final=is_final)
        if obstacle is None:
            return _compare(gate, metric, new, champion)
        obstacles.append(obstacle)
    return _not_compared(new, obstacles)


def judge_by_interval(gate: GateSpec, new: Version, champion: Version, measure: Callable[[str], Gain | str]) -> Verdict:
    """The same, by figures that are measured now: `measure` gives the gain by a metric, or says why there is none.

    The new version is better if the whole interval of its gain is above 0, and the gain no smaller than the gate asks.
    """
    obstacles: list[str] = []
    for metric in AUTO if gate.metric == "auto" else (gate.metric,):
        found = measure(metric)
        if isinstance(found, Gain):
            return _decide(gate, found, champion)
        obstacles.append(found)
    return _not_compared(new, obstacles)


def _decide(gate: GateSpec, found: Gain, champion: Version) -> Verdict:
    words = found.show(champion.reference)
    if found.low <= 0:
        return Verdict(is_champion=False, reason=f"not better beyond doubt: {words}", gain=found)
    if found.gain < gate.min_improvement:
        return Verdict(is_champion=False, reason=f"not better by {gate.min_improvement:g}: {words}", gain=found)
    return Verdict(is_champion=True, reason=f"better: {words}", gain=found)


def _not_compared(new: Version, obstacles: Sequence[str]) -> Verdict:
    return Verdict(
        is_champion=False,
        reason=f"not compared: {'; '.join(obstacles)}; to move it by hand: wavlm models promote {new.reference}",
    )


def _find_obstacle(metric: str, new: Version, champion: Version | None, *, is_final: bool) -> str | None:
    """Why a metric says nothing about which version is better; None if it does."""
    if metric not in TAG_OF and not is_of_task(metric):
        return f"{metric} is the quality of its teacher's labels, not its own (probe/pnmi is)"
    for version in (new, champion):
        if version is not None and not math.isfinite(version.metrics.get(metric, math.nan)):
            return f"{version.reference} has no {metric}{_advice(metric, version)}"
    if champion is None:
        is_lasting = is_of_task(metric) or TAG_OF[metric] == PROBE_TAG or is_final
        return None if is_lasting else f"{metric} cannot be compared with that of the iterations to come: other labels"
    difference = find_difference(TAG_OF[metric], new, champion)
    where = f"{metric} of {new.reference} and {champion.reference}"
    return f"{where} is no comparison: {difference}" if difference else None


def _advice(metric: str, version: Version) -> str:
    if metric in version.metrics:
        return f" that is finite, but {version.metrics[metric]}"
    if metric.startswith("probe/") and "labels/pnmi" in version.metrics:
        return " (valid speech with timed phones and `probe` in the recipe give it)"
    return ""


def find_difference(tag: str, new: Version, champion: Version) -> str | None:
    """What was not alike when two versions were measured; None if all was."""
    if new.tags.get(tag) is not None and new.tags.get(tag) == champion.tags.get(tag):
        return None
    if tag == PROBE_TAG:
        return "other speech or other settings of the probe"
    if new.tags.get("codebook") != champion.tags.get("codebook"):
        return "other codebooks"
    return "other speech, crops, masks, seeds or loss weights"


def _compare(gate: GateSpec, metric: str, new: Version, champion: Version | None) -> Verdict:
    ours = new.metrics[metric]
    if champion is None:
        return Verdict(is_champion=True, reason=f"the first champion: the next have to beat {metric} {ours:.4f}")
    theirs = champion.metrics[metric]
    gain = theirs - ours if metric in LOWER_IS_BETTER else ours - theirs
    words = f"{metric} {ours:.4f} against {theirs:.4f} of {champion.reference}"
    if gain > 0 and gain >= gate.min_improvement:
        return Verdict(is_champion=True, reason=f"better: {words}")
    needed = f" by {gate.min_improvement:g}" if gate.min_improvement else ""
    return Verdict(is_champion=False, reason=f"not better{needed}: {words}")
