"""Long curves with few points, in which every peak stays visible."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from wavlm.pipeline.curves import Curve

MOST_POINTS = 400


def decimate(curve: Curve, most: int = MOST_POINTS) -> Curve:
    """The curve itself if it is short; else its first and last point, and the least and the greatest of equal runs.

    A mean over runs would hide what a reader looks for: the one update with a huge gradient.
    """
    if len(curve.steps) <= most:
        return curve
    values = np.asarray(curve.values)
    edges = np.linspace(0, len(values), max(1, (most - 2) // 2) + 1).astype(int)
    kept = {0, len(values) - 1}
    for start, stop in pairwise(edges):
        run = values[start:stop]
        kept |= {int(start + run.argmin()), int(start + run.argmax())}
    chosen = sorted(kept)
    return Curve(curve.name, tuple(curve.steps[n] for n in chosen), tuple(curve.values[n] for n in chosen))
