"""ABX error: how often a token X is nearer to a token of another phone than to one of its own phone. Chance is 0.5.

The error of a cell is the share of its triplets with d(A, X) > d(B, X); ties count half. Cells of a pair of phones and
a speaker are averaged, then the speakers of a pair, then the pairs: Nguyen et al. 2020, arXiv 2011.11588, and
libri-light's eval_ABX.py, whose figures tests/evaluation/fast compares with.

Intervals come from a bootstrap over blocks: speakers, or utterances where there are few speakers. All that a triplet is
made of is drawn. To draw the tokens X alone gave intervals that were too narrow.

Legend: N layers, T triplets, C cells, B blocks, R draws, P pairs of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavlm.errors import BadDataError
from wavlm.evaluation.facts import Unit
from wavlm.evaluation.fast.distances import measure_distances
from wavlm.evaluation.fast.triplets import Triplets
from wavlm.features.mfcc import Floats

Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

DRAWS = 1000


def judge_triplets(frames: Mapping[int, Floats], triplets: Triplets) -> Doubles:
    """1 where X is nearer to B, 0 where it is nearer to A, 0.5 for ties, (T,), given the frames (F, D) of tokens.

    Raises BadDataError (NOT_FINITE) for frames that hold NaN or infinity.
    """
    used, places = np.unique(np.stack([triplets.a, triplets.b, triplets.x]), return_inverse=True)
    a, b, x = places.reshape(3, -1).astype(np.int64)
    pairs, rows = np.unique(np.stack([np.concatenate([a, b]), np.concatenate([x, x])]), axis=1, return_inverse=True)
    distances = measure_distances([frames[number] for number in used.tolist()], pairs[0], pairs[1])
    if not np.isfinite(distances).all():  # every comparison with NaN is false: it would look like no error at all
        raise BadDataError("NOT_FINITE", "frames hold NaN or infinity; in the tokens of ABX; check the model")
    to_a, to_b = distances[rows.ravel()].reshape(2, -1)
    return np.asarray((to_a > to_b) + 0.5 * (to_a == to_b), np.float64)


@dataclass(frozen=True)
class TripletWeights:
    """How often triplets, cells and speakers count; a cell whose triplets count nothing is left out."""

    triplets: Doubles  # (T,)
    cells: Doubles  # (C,) among the cells of a pair of phones and a speaker
    speakers: Doubles  # (C,) of the speaker of each cell, among the speakers of a pair


def average_errors(wrong: Doubles, triplets: Triplets, weights: TripletWeights | None = None) -> Doubles:
    """The ABX error of each layer: (N, T) to (N,). NaN if all weights are 0. Not given: everything counts once."""
    if weights is None:
        every_cell = np.ones(triplets.num_cells)
        weights = TripletWeights(np.ones(wrong.shape[1]), every_cell, every_cell)
    starts = np.flatnonzero(np.diff(triplets.cells, prepend=-1))  # triplets are in the order of their cells
    means, of_cells = _average(wrong, weights.triplets, starts)  # (N, C), (C,)
    order = np.lexsort((triplets.speakers, triplets.pairs))
    pairs, speakers = triplets.pairs[order], triplets.speakers[order]
    is_pair = np.diff(pairs, prepend=-1) != 0
    is_speaker = is_pair | (np.diff(speakers, prepend=-1) != 0)
    counted = (weights.cells * (of_cells > 0))[order]
    means, of_speakers = _average(means[:, order], counted, np.flatnonzero(is_speaker))
    counted = weights.speakers[order][is_speaker] * (of_speakers > 0)
    means, of_pairs = _average(means, counted, np.flatnonzero(is_pair[is_speaker]))
    there = of_pairs > 0
    return means[:, there].mean(axis=1) if there.any() else np.full(len(wrong), np.nan)


def draw_errors(wrong: Doubles, triplets: Triplets, blocks: Integers, unit: Unit, seed: int) -> Doubles:
    """The ABX errors of each layer (N, T) in many draws of blocks, given the block of each token: (R, N)."""
    num_blocks = int(blocks.max()) + 1
    weigh = _weigh_speakers(triplets, blocks) if unit == "speakers" else _weigh_utterances(triplets, blocks)
    rng = np.random.default_rng(seed)
    share = np.full(num_blocks, 1 / num_blocks)
    found = np.empty((DRAWS, len(wrong)))
    for draw in range(DRAWS):
        times = np.append(rng.multinomial(num_blocks, share), 1).astype(np.float64)  # the last one stands for no block
        found[draw] = average_errors(wrong, triplets, weigh(times))
    return found


def find_interval(value: float, draws: Doubles, confidence: float) -> tuple[float, float]:
    """The ends of the interval of a figure, given it in draws (R,): their percentiles, moved so that their mean is it.

    A draw may miss all triplets of a pair of phones. It misses rare pairs more often, and frequent ones have another
    error, so draws are off by a little on average.
    """
    low, high = np.nanquantile(draws - np.nanmean(draws), [(1 - confidence) / 2, (1 + confidence) / 2])
    return value + float(low), value + float(high)


def _weigh_utterances(triplets: Triplets, blocks: Integers) -> Callable[[Doubles], TripletWeights]:
    """A triplet is there as often as all of its utterances."""
    a, b, x = blocks[triplets.a], blocks[triplets.b], blocks[triplets.x]
    other_b = np.where(b == a, -1, b)
    other_x = np.where((x == a) | (x == b), -1, x)
    every_cell = np.ones(triplets.num_cells)
    return lambda times: TripletWeights(times[a] * times[other_b] * times[other_x], every_cell, every_cell)


def _weigh_speakers(triplets: Triplets, blocks: Integers) -> Callable[[Doubles], TripletWeights]:
    """A speaker who is drawn twice is two speakers, in the means over speakers, and of X."""
    starts = np.flatnonzero(np.diff(triplets.cells, prepend=-1))
    of_a, of_x = blocks[triplets.a[starts]], blocks[triplets.x[starts]]
    other_x = np.where(of_x == of_a, -1, of_x)
    every = np.ones(len(triplets.a))
    return lambda times: TripletWeights(every, times[other_x], times[of_a])


def _average(values: Doubles, weights: Doubles, starts: Integers) -> tuple[Doubles, Doubles]:
    """Weighted means of neighbours, (N, n) to (N, len(starts)), and the sums of their weights."""
    total = np.add.reduceat(weights, starts)
    return np.add.reduceat(values * weights, starts, axis=1) / np.where(total > 0, total, 1.0), total
