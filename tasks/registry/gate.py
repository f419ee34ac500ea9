"""The gate: whether a new version becomes champion."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.registry.lookup import Version
from wavlm.specs import GateSpec


@dataclass(frozen=True)
class Verdict:
    """Whether a version becomes champion, and why."""

    is_champion: bool
    reason: str


def judge(gate: GateSpec | None, new: Version, champion: Version | None) -> Verdict:
    """Whether a version becomes champion: the first does, later ones pass the recipe's gate."""
    if champion is None:
        return Verdict(is_champion=True, reason="the first champion")
    if champion.version == new.version:
        return Verdict(is_champion=True, reason="the champion already")
    if gate is None:
        return Verdict(is_champion=False, reason="the recipe has no gate: move it by hand")
    return _compare(gate, new, champion)


def _compare(gate: GateSpec, new: Version, champion: Version) -> Verdict:
    ours, theirs = new.metrics.get(gate.metric), champion.metrics.get(gate.metric)
    if ours is None or theirs is None:
        who = new.reference if ours is None else champion.reference
        return Verdict(is_champion=False, reason=f"{who} has no {gate.metric} to compare")
    gain = ours - theirs if gate.higher_is_better else theirs - ours
    words = f"{gate.metric} {ours:.4f} against {theirs:.4f} of {champion.reference}"
    if gain > 0 and gain >= gate.min_improvement:
        return Verdict(is_champion=True, reason=f"better: {words}")
    needed = f" by {gate.min_improvement:g}" if gate.min_improvement else ""
    return Verdict(is_champion=False, reason=f"not better{needed}: {words}")
