"""Write dtw.npz: what dtw-python 1.9.0 and scipy find for frames of queries and documents, as SUPERB's reference asks.

It runs in an environment of its own, with numpy, scipy and dtw-python==1.9.0:

    PYTHONPATH=. python -m tests.evaluation.reference.make_dtw

The steps are those of `s3prl/downstream/quesst14_dtw`: cosine distances of frames, exp(d) - 1, each row scaled to 0 to
1, subsequence time warping with the asymmetric step pattern, normalised.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.spatial.distance import cdist

from tests.evaluation.reference.values import uniform

OUT = Path(__file__).with_name("dtw.npz")
SIZES = ((5, 30), (12, 40), (20, 21), (9, 4), (1, 6), (40, 33))  # frames of query and document
CHANNELS = 6


def frames(number: int, count: int) -> np.ndarray:
    """Frames that change slowly, as speech does: (count, CHANNELS)."""
    return np.cumsum(uniform(f"frames {number}", count, CHANNELS).astype(np.float64), axis=0)


def main() -> None:
    """Compute and write."""
    from dtw import dtw

    costs: dict[str, list[float]] = {"cosine_exp": [], "cosine": []}
    for number, (num_query, num_document) in enumerate(SIZES):
        plain = cdist(frames(2 * number, num_query), frames(2 * number + 1, num_document), "cosine")
        for name, distances in (("cosine_exp", np.exp(plain) - 1), ("cosine", plain)):
            lowest, highest = distances.min(1)[:, np.newaxis], distances.max(1)[:, np.newaxis]
            scaled = (distances - lowest) / np.clip(highest - lowest, 1e-9, np.inf)
            found = dtw(x=scaled, step_pattern="asymmetric", open_begin=True, open_end=True)
            costs[name].append(found.normalizedDistance)
    np.savez_compressed(OUT, **{name: np.array(values) for name, values in costs.items()})
    sys.stdout.write(f"{costs}\n")


if __name__ == "__main__":
    main()
