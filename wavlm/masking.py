"""Span masks over frames, drawn per utterance (docs/algorithm.md section 6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from wavlm.specs import MaskSpec

Mask = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]


def span_mask(num_frames: int, spec: MaskSpec, rng: np.random.Generator) -> Mask:
    """Which of the frames to mask: (num_frames,) bool."""
    mask: Mask = span_masks(num_frames, spec, [rng])[0]
    return mask


def span_masks(num_frames: int, spec: MaskSpec, rngs: Iterable[np.random.Generator]) -> Mask:
    """Masks of as many utterances as there are generators, (B, num_frames) bool.

    n = max(min_spans, floor(p T / length + u)) distinct starts are drawn from 0..T-length-1, so the
    last frame is never masked in an utterance of usual length. As in fairseq's
    `compute_mask_indices`, of which this keeps the statistics.
    """
    starts = [_starts(num_frames, spec, rng) for rng in rngs]
    # Spans of an utterance that is too short for them stick out; that is cut off.
    width = max([num_frames, *(int(row.max(initial=0)) + 1 for row in starts)])
    masked = np.zeros((len(starts), width), dtype=np.bool_)
    for row, frames in zip(masked, starts, strict=True):
        row[frames] = True
    grown = 1  # frames that a span has so far
    while grown < spec.length:
        step = min(grown, spec.length - grown)
        masked[:, step:] |= masked[:, :-step].copy()
        grown += step
    masks: Mask = masked[:, :num_frames].copy()
    return masks


def _starts(num_frames: int, spec: MaskSpec, rng: np.random.Generator) -> Integers:
    """Where the spans of one utterance begin, (n,)."""
    wanted = spec.probability * num_frames / spec.length + rng.random()
    num_spans = max(spec.min_spans, int(wanted))
    num_starts = num_frames - spec.length
    if num_starts <= num_spans:  # too short for so many spans
        num_starts = num_spans + 1
    return rng.choice(num_starts, num_spans, replace=False)


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
