"""A case for VBx: windows of four speakers in a PLDA space, and labels that have too many speakers.

The reference in vbx_reference.json is what the authors' code gives for it (github.com/BUTSpeechFIT/VBx, VBx/VBx.py at
commit 18e8e30, Apache-2.0), run in a folder with that file:

    PYTHONPATH=FOLDER:. python -m tests.systems.diarization.vbx_case > tests/systems/diarization/vbx_reference.json
"""

from __future__ import annotations

import json
import sys

import numpy as np
from scipy.special import softmax

SETTINGS = {"loopProb": 0.4, "Fa": 0.4, "Fb": 17.0, "maxIters": 40, "epsilon": 1e-6}
SMOOTHING = 7.0


def make_case() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Projected embeddings (T, K), variances between speakers (K,), labels (T,) of seven clusters."""
    rng = np.random.default_rng(5)
    between = np.sort(rng.exponential(4.0, 16))[::-1].copy()
    speakers = rng.normal(size=(4, 16)) * np.sqrt(between)
    turns = np.repeat(rng.integers(0, 4, 30), rng.integers(2, 9, 30))
    windows = speakers[turns] + rng.normal(size=(len(turns), 16))
    labels = turns + 4 * (rng.random(len(turns)) < 0.4)
    return windows, between, np.unique(labels % 7, return_inverse=True)[1]


def main() -> None:
    from VBx import VBx  # type: ignore[import-not-found]

    windows, between, labels = make_case()
    first = softmax(np.eye(labels.max() + 1)[labels] * SMOOTHING, axis=1)
    chances, weights, bounds = VBx(windows, between, pi=first.shape[1], gamma=first, **SETTINGS)
    found = {
        "chances": np.round(chances, 8).tolist(),
        "weights": np.round(weights, 8).tolist(),
        "bounds": [round(float(item[0]), 6) for item in bounds],
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
