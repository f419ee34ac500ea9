"""Whether one model is better than another one on the same utterances: the gain, with an interval (paired bootstrap).

The utterances are drawn anew with replacement, many times, each time for both models, and the gain is computed of each
draw: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13 (percentile interval); for speech
recognition Bisani and Ney 2004, ICASSP. Utterances of one speaker are alike, so whole speakers are drawn where there
are enough of them: Liu and Peng 2020, arXiv 1912.09508 (blockwise bootstrap). An utterance in which several speakers
are mixed counts as often as the product of their draws: Owen 2007, Annals of Applied Statistics 1 (pigeonhole
bootstrap).

Legend: U utterances, V voices of an utterance at most, B blocks (speakers, or single utterances), D numbers of an
utterance, R draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavlm.evaluation.facts import Gain, Unit

Floats = npt.NDArray[np.float64]
Figure = Callable[[Floats], Floats]  # sums of draws (R, D) to one figure of each (R,)

FEWEST_SPEAKERS = 20  # with fewer, an interval over speakers is too narrow: then utterances are drawn
DRAWS = 9999
DRAWS_AT_ONCE = 100  # bounds the memory that the draws take

Speaker = str | tuple[str, ...]  # of an utterance; several of a mixture; "" if it is not known


def find_gain(  # noqa: PLR0913 - two models, and how they are compared
    metric: str,
    ours: Floats,
    theirs: Floats,
    speakers: Sequence[Speaker],
    figure: Figure,
    *,
    is_lower_better: bool,
    confidence: float,
    seed: int = 0,
) -> Gain:
    """The gain of a model, given numbers of each utterance that add up, (U, D) of both models.

    `speakers` (U,): an utterance of an unknown speaker ("") is a block of its own. There are at least two utterances.
    The same input gives the same interval.
    """
    blocks = blocks_of(speakers)
    sums = [sum_draws(numbers, blocks) for numbers in (ours, theirs)]
    sign = -1.0 if is_lower_better else 1.0

    def gain_of(times: Floats) -> Floats:
        return sign * (figure(sums[0](times)) - figure(sums[1](times)))

    low, high = draw_interval(blocks.num, gain_of, confidence, DRAWS, seed)
    totals = [float(figure(numbers.sum(axis=0, keepdims=True))[0]) for numbers in (ours, theirs)]
    return Gain(
        metric=metric,
        ours=totals[0],
        theirs=totals[1],
        gain=sign * (totals[0] - totals[1]),
        low=low,
        high=high,
        confidence=confidence,
        num_utterances=len(speakers),
        num_blocks=blocks.num,
        unit=blocks.unit,
    )


def draw_interval(
    num_blocks: int,
    values_of: Figure,
    confidence: float,
    num_draws: int,
    seed: int,
    most_undefined: float = 0.0,
) -> tuple[float, float]:
    """The percentile interval of a figure, whose blocks are drawn anew with replacement.

    `values_of` takes how often each block is drawn (R, B) to a value of each draw (R,). Draws without a value (NaN) are
    left out; where they are more than `most_undefined` of all, both ends are NaN.
    """
    from scipy.stats import bootstrap

    def count_and_value(drawn: npt.NDArray[np.int64], axis: int = -1) -> Floats:
        """The value of each draw (R,), given the numbers of its blocks (R, B)."""
        rows = np.moveaxis(drawn, axis, -1)
        times = np.stack([np.bincount(row, minlength=rows.shape[-1]) for row in rows]).astype(np.float64)
        return values_of(times)

    found = bootstrap(
        (np.arange(num_blocks),),
        count_and_value,
        n_resamples=num_draws,
        batch=DRAWS_AT_ONCE,
        vectorized=True,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    values = found.bootstrap_distribution
    if 0 < np.isnan(values).mean() <= most_undefined:
        low, high = np.nanquantile(values, [0.5 - confidence / 2, 0.5 + confidence / 2])
        return float(low), float(high)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


@dataclass(frozen=True)
class Blocks:
    """What is drawn, and which of it each utterance is made of."""

    num: int
    unit: Unit
    of_utterance: npt.NDArray[np.int64]  # (U, V); `num` where an utterance has fewer


def blocks_of(speakers: Sequence[Speaker]) -> Blocks:
    """The blocks of utterances (U,): speakers, where enough of them are known, else the utterances."""
    if any(isinstance(item, tuple) for item in speakers):
        return _blocks_of_mixtures([item if isinstance(item, tuple) else (item,) for item in speakers])
    names = [speaker or f"\0{number}" for number, speaker in enumerate(speakers)]
    found, blocks = np.unique(names, return_inverse=True)
    if len({*filter(None, speakers)}) < FEWEST_SPEAKERS:
        return _each_alone(len(names))
    return Blocks(len(found), "speakers", blocks.astype(np.int64)[:, None])


def _blocks_of_mixtures(speakers: Sequence[tuple[str, ...]]) -> Blocks:
    """Where a speaker of any utterance is not known, utterances are drawn."""
    names = {name: number for number, name in enumerate(sorted({name for item in speakers for name in item}))}
    if len(names) < FEWEST_SPEAKERS or not all(item and all(item) for item in speakers):
        return _each_alone(len(speakers))
    blocks = np.full((len(speakers), max(map(len, speakers))), len(names), np.int64)
    for row, item in zip(blocks, speakers, strict=True):
        row[: len({*item})] = [names[name] for name in sorted({*item})]
    return Blocks(len(names), "speakers", blocks)


def _each_alone(count: int) -> Blocks:
    return Blocks(count, "utterances", np.arange(count)[:, None])


def sum_draws(numbers: Floats, blocks: Blocks) -> Figure:
    """From how often each block is drawn (R, B) to the sums of the utterances' numbers (U, D): (R, D)."""
    if blocks.of_utterance.shape[1] == 1:
        total = np.zeros((blocks.num, numbers.shape[1]))
        np.add.at(total, blocks.of_utterance[:, 0], numbers)
        return lambda times: times @ total

    def add_up(times: Floats) -> Floats:
        with_one = np.concatenate([times, np.ones((len(times), 1))], axis=1)
        found: Floats = with_one[:, blocks.of_utterance].prod(axis=2) @ numbers
        return found

    return add_up
