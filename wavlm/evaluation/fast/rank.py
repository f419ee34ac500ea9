"""Effective rank of frames: in how many directions they spread. RankMe, Garrido et al. 2023, arXiv 2210.02885.

It is the exponential of the entropy of the singular values divided by their sum (Roy and Vetterli 2007). As there, the
mean is not taken off. It compares checkpoints of one layer; it says nothing about which layer is better: the waveform's
own noise has a high rank.

Legend: F frames, D channels.
"""

from __future__ import annotations

import numpy as np

from wavlm.errors import BadDataError
from wavlm.features.mfcc import Floats

EPSILON = 1e-7  # of RankMe, for float32


def effective_rank(frames: Floats) -> float:
    """1 to min(F, D), of frames (F, D); 0 if all are zero. Raises BadDataError (NOT_FINITE) for NaN or infinity."""
    if not np.isfinite(frames).all():
        raise BadDataError("NOT_FINITE", "frames hold NaN or infinity; for their effective rank; check the model")
    exact = frames.astype(np.float64)
    # Singular values are roots of the eigenvalues of the smaller product, which costs a tenth of a decomposition.
    product = exact.T @ exact if len(exact) > exact.shape[1] else exact @ exact.T
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(product), 0.0))
    total = values.sum()
    if not total:
        return 0.0
    shares = values / total + EPSILON
    return float(np.exp(-(shares * np.log(shares)).sum()))
