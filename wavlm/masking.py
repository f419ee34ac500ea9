"""Span masks over frames, drawn per utterance (docs/algorithm.md section 6)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from wavlm.rng import Numbers
from wavlm.specs import MaskSpec

Mask = npt.NDArray[np.bool_]


def span_masks(num_frames: int, spec: MaskSpec, numbers: Numbers) -> Mask:
    """Which frames to mask of B utterances, given `num_draws` numbers for each: (B, num_frames).

    n = max(min_spans, floor(p T / length + u)) distinct starts are drawn from 0..T-length-1, so the
    last frame is never masked in an utterance of usual length. As in fairseq's
    `compute_mask_indices`, of which this keeps the statistics.
    """
    wanted = spec.probability * num_frames / spec.length
    fewest, most = _fewest_and_most(num_frames, spec)
    num_spans = np.maximum(spec.min_spans, (wanted + numbers[:, 0]).astype(np.int64))
    lots = numbers[:, 1:]
    if num_frames - spec.length <= most:  # too short for so many spans: one start more than spans
        num_starts = np.maximum(num_frames - spec.length, num_spans + 1)
        lots = np.where(np.arange(lots.shape[1]) < num_starts[:, None], lots, 1.0)
    # The starts with the n smallest of their lots: those below the one that comes next.
    ordered = np.partition(lots, (fewest, most), axis=1)
    starts = lots < ordered[np.arange(len(lots)), num_spans, None]
    return _spans(starts, spec.length, num_frames)


def num_draws(num_frames: int, spec: MaskSpec) -> int:
    """Numbers that the mask of an utterance is made of: u, and a lot for each possible start."""
    return 1 + max(num_frames - spec.length, _fewest_and_most(num_frames, spec)[1] + 1)


def _fewest_and_most(num_frames: int, spec: MaskSpec) -> tuple[int, int]:
    """Between which numbers of spans u decides."""
    wanted = spec.probability * num_frames / spec.length
    return max(spec.min_spans, int(wanted)), max(spec.min_spans, int(wanted + 1))


def _spans(starts: Mask, length: int, num_frames: int) -> Mask:
    """Frames (B, num_frames) of the spans that begin where (B, S) says; what sticks out is cut."""
    masked = np.zeros((len(starts), max(starts.shape[1], num_frames)), np.bool_)
    masked[:, : starts.shape[1]] = starts
    grown = 1  # frames that a span has so far
    while grown < length:
        step = min(grown, length - grown)
        masked[:, step:] |= masked[:, :-step].copy()
        grown += step
    return np.ascontiguousarray(masked[:, :num_frames])


def equalise(masks: Sequence[Mask] | Mask, rng: np.random.Generator) -> Mask:
    """Masks with as many masked frames each as the smallest has; the rest is unmasked at random.

    This is the reference's per-batch equalisation. It opens single frames inside spans and lowers
    the masked share from 0.57 to about 0.53, so it is off by default (`MaskSpec.equalise`).
    """
    equal = np.zeros_like(masks)
    smallest = min(int(mask.sum()) for mask in masks)
    for row, mask in enumerate(masks):
        equal[row, rng.choice(np.flatnonzero(mask), smallest, replace=False)] = True
    return equal
