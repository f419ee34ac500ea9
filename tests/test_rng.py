"""Named generators: the same numbers whether made one by one or many at once."""

from __future__ import annotations

import numpy as np

from wavlm.rng import each_rng, rng_for


def test_many_generators_at_once_draw_what_each_alone_draws() -> None:
    paths = [
        (purpose, epoch, f"key {n}") for n in range(300) for purpose in "ab" for epoch in (0, 7)
    ]
    for path, rng in zip(paths, each_rng(5, paths), strict=True):
        alone = rng_for(5, *path)
        np.testing.assert_array_equal(rng.random(7), alone.random(7))
        # An odd number of 32-bit draws leaves half a word behind: not for the next path.
        assert rng.integers(1000, dtype=np.uint32) == alone.integers(1000, dtype=np.uint32)
        np.testing.assert_array_equal(
            rng.choice(500, 40, replace=False), alone.choice(500, 40, replace=False)
        )


def test_no_paths_give_no_generator() -> None:
    assert list(each_rng(0, [])) == []
