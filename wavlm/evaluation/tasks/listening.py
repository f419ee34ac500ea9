"""Ratings of enhanced and separated speech per utterance, and their means.

A rating is null where the *reference* cannot be rated, as speech that is too short for PESQ: it is left out of the
mean, and the figure says of how many. Where the *result* cannot be rated, because a mask left silence, the lowest
rating counts: leaving it out would reward the model for it.

Legend: N samples, R references.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from pydantic import JsonValue

from wavlm.errors import BadDataError, Code
from wavlm.evaluation.metrics.intervals import interval_of_sums
from wavlm.evaluation.metrics.separation import pesq_wb, score_separation, si_sdr_db, stoi
from wavlm.evaluation.paired import Speaker
from wavlm.evaluation.results.facts import Figure
from wavlm.evaluation.results.figures import figure_of
from wavlm.shards.flac import Waveform
from wavlm.specs import SAMPLE_RATE_HZ

LOWEST = {"pesq": 1.0, "stoi": 0.0, "si_sdr": -30.0}  # of a result that is silence
RATED_LOWEST = "lowest"  # the entry of a rating that names what counts as the lowest

Measure = Callable[[Waveform, Waveform], float]
MEASURES: Mapping[str, Measure] = {
    "pesq": lambda ours, theirs: pesq_wb(ours, theirs, SAMPLE_RATE_HZ),
    "stoi": lambda ours, theirs: stoi(ours, theirs, SAMPLE_RATE_HZ),
    "si_sdr": si_sdr_db,
}


def rate_clean(clean: Waveform, found: Waveform, noisy: Waveform) -> dict[str, JsonValue]:
    """PESQ, STOI, SI-SDR and its improvement over the noisy speech, all of (N,)."""
    ratings: dict[str, JsonValue] = {}
    lowest: list[JsonValue] = []
    for name, measure in MEASURES.items():
        ratings[name] = value = _value_of(measure, clean, found)
        if value is None and (_value_of(measure, clean, clean)) is not None:
            ratings[name] = LOWEST[name]
            lowest.append(name)
    before = _value_of(si_sdr_db, clean, noisy)
    after = ratings["si_sdr"]
    ratings["si_sdri"] = after - before if isinstance(after, float) and before is not None else None
    return {**ratings, RATED_LOWEST: lowest}


def rate_sources(references: Waveform, found: Waveform, mixture: Waveform) -> dict[str, JsonValue]:
    """SI-SDR and its improvement, the mean over the references (R, N) in their best order."""
    if not references.any(axis=1).all():
        return {"si_sdri": None, "si_sdr": None, RATED_LOWEST: []}
    if found.any(axis=1).all():
        scored = score_separation(references, found, mixture)
        means = [float(np.mean(values)) for values in (scored.improvement_db, scored.si_sdr_db)]
        return {"si_sdri": means[0], "si_sdr": means[1], RATED_LOWEST: []}
    before = float(np.mean([si_sdr_db(item, mixture) for item in references]))
    return {"si_sdri": LOWEST["si_sdr"] - before, "si_sdr": LOWEST["si_sdr"], RATED_LOWEST: ["si_sdr"]}


def score_ratings(ratings: Sequence[Mapping[str, JsonValue]], speakers: Sequence[Speaker] | None) -> tuple[Figure, ...]:
    """The mean of each rating, in the order of the ratings. speakers: None leaves intervals out.

    A rating that no utterance has is NaN, which an evaluation refuses.
    """
    names = [name for name in ("pesq", "stoi", "si_sdri", "si_sdr") if name in ratings[0]]
    return tuple(_mean(name, ratings, speakers) for name in names)


def _mean(name: str, ratings: Sequence[Mapping[str, JsonValue]], speakers: Sequence[Speaker] | None) -> Figure:
    values = [item[name] for item in ratings]
    rated = [number for number, value in enumerate(values) if isinstance(value, float)]
    numbers = np.array([[float(values[number]), 1.0] for number in rated]).reshape(-1, 2)  # type: ignore[arg-type]
    if not rated:
        return Figure(name=name, value=float("nan"), note="no utterance can be rated")
    interval = None
    if speakers is not None and len(rated) > 1:
        of_rated = [speakers[number] for number in rated]
        interval = interval_of_sums(numbers, of_rated, lambda sums: sums[:, 0] / sums[:, 1])
    return figure_of(name, float(numbers[:, 0].mean()), interval, note=_note(name, ratings, len(rated)))


def _note(name: str, ratings: Sequence[Mapping[str, JsonValue]], num_rated: int) -> str:
    """What a reader has to know of the mean; empty: nothing."""
    notes = []
    if missing := len(ratings) - num_rated:
        notes.append(f"{missing} of {len(ratings)} references cannot be rated and are left out")
    key = "si_sdr" if name == "si_sdri" else name
    if lowest := sum(key in _lowest(item) for item in ratings):
        notes.append(f"{lowest} of {len(ratings)} results are silent or too quiet and count {LOWEST[key]:g}")
    if num_rated == 1:
        notes.append("no interval: a single utterance")
    return "; ".join(notes)


def _lowest(rating: Mapping[str, JsonValue]) -> Sequence[JsonValue]:
    found = rating[RATED_LOWEST]
    return found if isinstance(found, list) else []


def _value_of(measure: Measure, reference: Waveform, found: Waveform) -> float | None:
    """None where there is no speech to rate."""
    try:
        return measure(reference, found)
    except BadDataError as error:
        if error.code != Code.METRIC_UNDEFINED:
            raise
        return None
