"""Span masks over frames, drawn per utterance (docs/algorithm.md section 6)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from wavlm.specs import MaskSpec

Mask = npt.NDArray[np.bool_]


def span_mask(num_frames: int, spec: MaskSpec, rng: np.random.Generator) -> Mask:
    """Which of the frames to mask: (num_frames,) bool.

    n = max(min_spans, floor(p T / length + u)) distinct starts are drawn from 0..T-length-1, so the
    last frame is never masked in an utterance of usual length. As in fairseq's
    `compute_mask_indices`, of which this keeps the statistics.
    """
    wanted = spec.probability * num_frames / spec.length + rng.random()
    num_spans = max(spec.min_spans, int(wanted))
    num_starts = num_frames - spec.length
    if num_starts <= num_spans:  # too short for so many spans
        num_starts = num_spans + 1
    starts = rng.choice(num_starts, num_spans, replace=False)
    masked = (starts[:, None] + np.arange(spec.length)).ravel()
    mask = np.zeros(num_frames, dtype=np.bool_)
    mask[masked[masked < num_frames]] = True
    return mask


def equalise(masks: Sequence[Mask], rng: np.random.Generator) -> list[Mask]:
    """Masks with as many masked frames each as the smallest has; the rest is unmasked at random.

    This is the reference's per-batch equalisation. It opens single frames inside spans and lowers
    the masked share from 0.57 to about 0.53, so it is off by default (`MaskSpec.equalise`).
    """
    smallest = min((int(mask.sum()) for mask in masks), default=0)
    equal: list[Mask] = []
    for mask in masks:
        kept = rng.choice(np.flatnonzero(mask), smallest, replace=False)
        thinned = np.zeros_like(mask)
        thinned[kept] = True
        equal.append(thinned)
    return equal
