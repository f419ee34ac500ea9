"""Whether one model is better than another one on the same utterances: the gain, with an interval (paired bootstrap).

The utterances are drawn anew with replacement, many times, each time for both models, and the gain is computed of each
draw: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13 (percentile interval); for speech
recognition Bisani and Ney 2004, ICASSP. Utterances of one speaker are alike, so whole speakers are drawn where there
are enough of them: Liu and Peng 2020, arXiv 1912.09508 (blockwise bootstrap).

Legend: U utterances, B blocks (speakers, or single utterances), D numbers of an utterance, R draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from wavlm.evaluation.facts import Gain

Floats = npt.NDArray[np.float64]
Figure = Callable[[Floats], Floats]  # sums of draws (R, D) to one figure of each (R,)

FEWEST_SPEAKERS = 20  # with fewer, an interval over speakers is too narrow: then utterances are drawn
DRAWS = 9999
DRAWS_AT_ONCE = 100  # bounds the memory that the draws take


def find_gain(  # noqa: PLR0913 - two models, and how they are compared
    metric: str,
    ours: Floats,
    theirs: Floats,
    speakers: Sequence[str],
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
    blocks, unit = find_blocks(speakers)
    sums = [sum_blocks(numbers, blocks) for numbers in (ours, theirs)]
    sign = -1.0 if is_lower_better else 1.0

    def gain_of(times: Floats) -> Floats:
        return sign * (figure(times @ sums[0]) - figure(times @ sums[1]))

    low, high = draw_interval(len(sums[0]), gain_of, confidence, DRAWS, seed)
    totals = [float(figure(numbers.sum(axis=0, keepdims=True))[0]) for numbers in sums]
    return Gain(
        metric=metric,
        ours=totals[0],
        theirs=totals[1],
        gain=sign * (totals[0] - totals[1]),
        low=low,
        high=high,
        confidence=confidence,
        num_utterances=len(speakers),
        num_blocks=len(sums[0]),
        unit=unit,
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


def find_blocks(speakers: Sequence[str]) -> tuple[npt.NDArray[np.int64], Literal["speakers", "utterances"]]:
    """The number of each utterance's block (U,), and what the blocks are."""
    names = [speaker or f"\0{number}" for number, speaker in enumerate(speakers)]
    found, blocks = np.unique(names, return_inverse=True)
    if len(found) < FEWEST_SPEAKERS or not any(speakers):
        return np.arange(len(names)), "utterances"
    return blocks.astype(np.int64), "speakers"


def sum_blocks(numbers: Floats, blocks: npt.NDArray[np.int64]) -> Floats:
    """The numbers of the utterances (U, D) added up by block: (B, D)."""
    total = np.zeros((int(blocks.max()) + 1, numbers.shape[1]))
    np.add.at(total, blocks, numbers)
    return total
