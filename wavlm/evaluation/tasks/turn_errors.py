"""Figures of turns: the DER of what was chosen on the dev part, of overlaps alone, and the best one on the test part.

Legend: U recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from wavlm.errors import BadDataError, Code
from wavlm.evaluation.metrics.checks import Floats
from wavlm.evaluation.metrics.diarization import DiarizationErrors, Region, Turn, diarization_errors
from wavlm.evaluation.metrics.intervals import interval_of_sums
from wavlm.evaluation.results.facts import Figure
from wavlm.evaluation.results.figures import figure_of
from wavlm.evaluation.tasks.activity import meet, overlapped, spoken
from wavlm.specs.pairs import SpeakerDiarization


@dataclass(frozen=True)
class Judged:
    """A recording with what is right and what was found."""

    turns: list[Turn]
    found: list[Turn]
    others: Sequence[list[Turn]]  # found with each other setting
    scored: list[Region]
    speaker: str


def score_turns(judged: Sequence[Judged], spec: SpeakerDiarization, *, with_intervals: bool) -> tuple[Figure, ...]:
    """DER, DER where two or more speak, and the DER of the setting that is best on these recordings."""
    collar = spec.collar_seconds
    chosen = [diarization_errors(it.turns, it.found, it.scored, collar_each_side_s=collar) for it in judged]
    note = f"{_describe(judged, spec)}; {_parts(chosen)}"
    figures = [_rate("der", chosen, judged, note, with_intervals=with_intervals)]
    if not with_intervals:
        return tuple(figures)
    regions = [meet(overlapped(it.turns), it.scored) for it in judged]
    both = [(it, region) for it, region in zip(judged, regions, strict=True) if region]
    if both:
        errors = [diarization_errors(it.turns, it.found, region, collar_each_side_s=0.0) for it, region in both]
        note = f"only where two or more speak, without a collar; {_parts(errors)}"
        figures.append(_rate("der_overlap", errors, [it for it, _ in both], note, with_intervals=True))
    return (*figures, _best_on_test(judged, collar))


def _best_on_test(judged: Sequence[Judged], collar: float) -> Figure:
    rates = [
        _total([diarization_errors(it.turns, it.others[n], it.scored, collar_each_side_s=collar) for it in judged]).rate
        for n in range(len(judged[0].others))
    ]
    return Figure(
        name="der_best_on_test",
        value=min(rates),
        is_lower_better=True,
        note=f"the least of {len(rates)} thresholds and filters on test, as the reference chooses; it flatters, so it "
        "compares with published figures alone; no interval",
    )


def _rate(
    name: str, errors: Sequence[DiarizationErrors], judged: Sequence[Judged], note: str, *, with_intervals: bool
) -> Figure:
    value = _total(errors).rate
    if not with_intervals:
        return figure_of(name, value, None, is_lower_better=True, note=note)
    if len(errors) == 1:
        return figure_of(name, value, None, is_lower_better=True, note=f"{note}; no interval: one recording")
    try:
        interval = interval_of_sums(np.stack([it.sums for it in errors]), [it.speaker for it in judged], _rates)
    except BadDataError as error:
        if error.code != Code.METRIC_UNDEFINED:
            raise
        also = "no interval: too few recordings in which somebody speaks"
        return figure_of(name, value, None, is_lower_better=True, note=f"{note}; {also}")
    return figure_of(name, value, interval, is_lower_better=True, note=note)


def _rates(sums: Floats) -> Floats:
    """NaN for a draw of recordings in which nobody speaks, whatever was found there."""
    found: Floats = np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=sums[:, 1] > 0)
    return found


def _total(errors: Sequence[DiarizationErrors]) -> DiarizationErrors:
    return reduce(add, errors)


def _parts(errors: Sequence[DiarizationErrors]) -> str:
    total = _total(errors)
    parts = {"missed": total.missed_s, "false alarm": total.false_alarm_s, "confused": total.confusion_s}
    return ", ".join(f"{name} {100 * seconds / total.total_s:.1f} %" for name, seconds in parts.items())


def _describe(judged: Sequence[Judged], spec: SpeakerDiarization) -> str:
    """What was scored: the collar, how much speech overlaps, and recordings with more speakers than outputs."""
    spoken_s, overlap_s = (
        sum(end_s - start_s for it in judged for start_s, end_s in meet(find(it.turns), it.scored))
        for find in (spoken, overlapped)
    )
    voices = len({name for it in judged for *_, name in it.turns})
    many = sum(len({name for *_, name in it.turns}) > spec.speakers for it in judged)
    said = f"collar {spec.collar_seconds:g} s on each side; {spoken_s:.0f} s of speech by {voices} speakers"
    said += f", of which {100 * overlap_s / spoken_s:.1f} % overlap"
    if many:
        said += f"; {many} of {len(judged)} recordings have more than the {spec.speakers} speakers that the head has"
    return said
