"""ABX errors and advice in words: sentences that are computed from the scores."""

from __future__ import annotations

from collections.abc import Iterator

from wavlm.evaluation.facts import MODES, AbxScore, Mode, ScoresFacts


def best_abx(facts: ScoresFacts, mode: Mode) -> tuple[int, AbxScore] | None:
    """The layer with the lowest ABX error, and the error; None if there is none."""
    found = [(item.layer, abx) for item in facts.scores if item.layer for abx in item.abx if abx.mode == mode]
    return min(found, key=lambda pair: pair[1].error, default=None)


def mfcc_abx(facts: ScoresFacts, mode: Mode) -> float | None:
    """The ABX error of MFCC; None if there is none."""
    return next((item.abx_error(mode) for item in facts.scores if not item.layer), None)


def describe_abx(facts: ScoresFacts) -> Iterator[str]:
    """The lowest error within and across speakers, with its interval, beside that of MFCC."""
    for mode in MODES:
        if found := best_abx(facts, mode):
            layer, abx = found
            mfcc = mfcc_abx(facts, mode)
            beside = "" if mfcc is None else f", of MFCC {mfcc:.3f}"
            yield f"ABX error {mode} speakers {abx.error:.3f}{_interval(abx)} in layer {layer}{beside}"


def _interval(abx: AbxScore) -> str:
    if abx.low is None or abx.high is None:
        return " (no interval: too few utterances)"
    return f" ({abx.low:.3f} to {abx.high:.3f})"
