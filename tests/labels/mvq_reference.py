"""Errors of the public package multi_quantization on made-up frames, for `test_multi_codebook.py`.

In an environment of its own (`pip install multi_quantization h5py torch`), which the project does not need:

    python -m tests.labels.mvq_reference     writes tests/labels/mvq_reference.json; about 12 minutes on one core
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import numpy as np

OUTPUT = Path(__file__).with_suffix(".json")
CHANNELS, TRAIN, HELD_OUT = 32, 16_000, 4_000
STEPS, BATCH = 2_000, 600  # of each of two phases; the package's default is 10,000 steps, which takes 20 minutes


def make_frames() -> tuple[np.ndarray, np.ndarray]:
    """Frames to fit on and held-out ones, (F, 32): 200 clusters with correlated spread, whose channels shrink."""
    rng = np.random.default_rng(0)
    spread, scale = rng.normal(0, 0.4, (CHANNELS, CHANNELS)), 0.9 ** np.arange(CHANNELS)
    centres = rng.normal(0, 2, (200, CHANNELS))
    count = TRAIN + HELD_OUT
    frames = (centres[rng.integers(0, 200, count)] + rng.normal(0, 1, (count, CHANNELS)) @ spread) * scale
    return frames[:TRAIN].astype(np.float32), frames[TRAIN:].astype(np.float32)


def relative_error(frames: np.ndarray, sums: np.ndarray) -> float:
    """Squared error as a share of the variance of the frames."""
    precise = frames.astype(np.float64)
    return float(np.square(precise - sums).sum() / np.square(precise - precise.mean(axis=0)).sum())


def measure(num_codebooks: int) -> float:
    """The error of the package on held-out frames, with its 5 refinements."""
    import multi_quantization
    import torch

    torch.manual_seed(0)
    random.seed(0)
    train, held_out = map(torch.from_numpy, make_frames())
    trainer = multi_quantization.QuantizerTrainer(CHANNELS, num_codebooks, torch.device("cpu"), STEPS, STEPS)
    while not trainer.done():
        trainer.step(train[torch.randint(len(train), (BATCH,))])
    quantizer = trainer.get_quantizer()
    with torch.no_grad():
        sums = quantizer.decode(quantizer.encode(held_out, refine_indexes_iters=5, as_bytes=False))
    return relative_error(held_out.numpy(), sums.numpy())


if __name__ == "__main__":
    errors = {str(count): measure(count) for count in (1, 2, 4)}
    OUTPUT.write_text(
        json.dumps({"multi_quantization": "0.1.1", "steps": 2 * STEPS, "relative_error": errors}, indent=2) + "\n"
    )
    sys.stdout.write(OUTPUT.read_text())
