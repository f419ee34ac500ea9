"""Several codebooks that add up: against brute force, against closed forms, and by their number."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch

from tests.labels.mvq_reference import OUTPUT, make_frames, relative_error
from wavlm.labels.multi_codebook import SummedAssign, SummedCodebooks, _solve, fit_codebooks

pytestmark = pytest.mark.numeric


def made(num_frames: int, seed: int = 0) -> np.ndarray:
    """Correlated frames with clusters, (F, 12)."""
    rng = np.random.default_rng(seed)
    centres, mix = rng.normal(0, 2, (20, 12)), rng.normal(0, 0.5, (12, 12))
    frames = centres[rng.integers(0, 20, num_frames)] + rng.normal(0, 1, (num_frames, 12)) @ mix
    return frames.astype(np.float32)


def squared(frames: np.ndarray, sums: np.ndarray) -> np.ndarray:
    return np.square(frames.astype(np.float64) - sums).sum(-1)


def test_two_codebooks_of_four_find_the_best_of_all_sixteen_sums() -> None:
    frames = made(500)
    quantizer = fit_codebooks(frames, 2, 4, iterations=3, seed=0).quantizer
    pairs = list(itertools.product(range(4), range(4)))
    mean, centres = quantizer.mean.astype(np.float64), quantizer.centres.astype(np.float64)
    errors = np.stack([squared(frames, mean + centres[0, a] + centres[1, b]) for a, b in pairs], axis=1)
    found = squared(frames, quantizer.decode(quantizer.encode(frames)).astype(np.float64))
    assert found == pytest.approx(errors.min(axis=1), rel=1e-4, abs=1e-4)


def test_the_centres_are_those_of_least_squares() -> None:
    frames, rng = made(300).astype(np.float64), np.random.default_rng(1)
    codes = rng.integers(0, 3, (300, 2)).astype(np.uint16)
    solved = _solve(frames.astype(np.float32), codes, np.zeros((2, 3, 12), np.float32)).astype(np.float64)
    one_hot = np.concatenate([np.eye(3)[codes[:, stream]] for stream in range(2)], axis=1)
    best = one_hot @ np.linalg.lstsq(one_hot, frames, rcond=None)[0]
    ours = solved[0, codes[:, 0]] + solved[1, codes[:, 1]]
    assert squared(frames, ours).sum() == pytest.approx(squared(frames, best).sum(), rel=1e-4)


def test_the_error_falls_with_each_codebook_and_with_fitting() -> None:
    frames, held_out = made(2000), made(400)
    errors = []
    for count in (1, 2, 3, 4):
        fit = fit_codebooks(frames, count, 8, iterations=6, seed=0)
        errors.append(float(fit.quantizer.errors(held_out).mean()))
        if count > 1:
            assert fit.errors[-1] < fit.errors[0]
    assert errors == sorted(errors, reverse=True)
    assert errors[3] < 0.7 * errors[0]


def test_one_codebook_is_the_nearest_centre() -> None:
    frames = made(200)
    quantizer = SummedCodebooks(np.zeros(12, np.float32), made(9, seed=3)[None])
    distances = squared(frames[:, None], quantizer.centres[0][None])
    assert (quantizer.encode(frames)[:, 0] == distances.argmin(axis=1)).all()


def test_codes_depend_neither_on_other_frames_nor_on_shapes() -> None:
    frames = made(64)
    quantizer = fit_codebooks(made(500), 3, 8, iterations=2, seed=0).quantizer
    whole = quantizer.encode(frames)
    assert (np.concatenate([quantizer.encode(part) for part in np.split(frames, 8)]) == whole).mean() > 0.99
    assign = SummedAssign(quantizer, "cpu")
    assert assign(torch.from_numpy(frames).view(4, 16, 12)).shape == (4, 16, 3)
    bad = frames.copy()
    bad[5, 3] = np.nan
    assert (quantizer.encode(bad)[5] == 65535).all()
    assert (quantizer.encode(bad)[:5] != 65535).all()


@pytest.mark.full
@pytest.mark.parametrize("num_codebooks", [1, 2, 4])
def test_the_error_is_no_more_than_that_of_the_public_package(num_codebooks: int) -> None:
    theirs = json.loads(OUTPUT.read_text())["relative_error"][str(num_codebooks)]
    train, held_out = make_frames()
    quantizer = fit_codebooks(train, num_codebooks, 256, iterations=4, seed=0).quantizer
    ours = relative_error(held_out, quantizer.decode(quantizer.encode(held_out)).astype(np.float64))
    assert ours <= 1.02 * theirs
