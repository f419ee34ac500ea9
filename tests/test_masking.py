"""Span masks against the closed form and the measured table of docs/algorithm.md section 6."""

from math import comb

import numpy as np
import pytest

from wavlm.masking import equalise, span_mask, span_masks
from wavlm.rng import rng_for
from wavlm.specs import MaskSpec

SPEC = MaskSpec()


def draws(num_frames: int, count: int) -> np.ndarray:
    rng = rng_for(0, "mask", num_frames)
    return np.stack([span_mask(num_frames, SPEC, rng) for _ in range(count)])


def interior(num_frames: int) -> float:
    """1 - C(T - 20, n) / C(T - 10, n), over the two numbers of spans that u decides between."""
    wanted = 0.8 * num_frames / 10
    few, share = int(wanted), wanted % 1
    missed = [comb(num_frames - 20, n) / comb(num_frames - 10, n) for n in (few, few + 1)]
    return 1 - (1 - share) * missed[0] - share * missed[1]


@pytest.mark.parametrize(
    ("num_frames", "fraction", "spread", "first"),
    [(99, 0.5722, 0.071, 0.086), (249, 0.5673, 0.044, 0.081), (781, 0.5663, 0.025, 0.077)],
)
def test_masks_have_the_reference_statistics(
    num_frames: int, fraction: float, spread: float, first: float
) -> None:
    masks = draws(num_frames, 4000)
    shares = masks.mean(1)
    assert shares.mean() == pytest.approx(fraction, abs=0.005)
    assert shares.std() == pytest.approx(spread, rel=0.1)
    inside = masks[:, 10:-10].mean()
    assert inside == pytest.approx(interior(num_frames), abs=0.005)
    assert masks[:, 0].mean() == pytest.approx(first, abs=0.02)
    assert masks[:, -2].mean() == pytest.approx(first, abs=0.02)
    assert not masks[:, -1].any()


def test_spans_are_whole_and_of_the_number_asked_for() -> None:
    for mask in draws(499, 200):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
        lengths = edges[1::2] - edges[::2]
        assert (lengths >= 10).all()
        assert lengths.sum() <= 40 * 10


@pytest.mark.parametrize("num_frames", [0, 1, 5, 11, 12, 13, 20])
def test_short_utterances_get_a_mask_of_their_length(num_frames: int) -> None:
    mask = span_mask(num_frames, SPEC, rng_for(0, "short"))
    assert mask.shape == (num_frames,)


def test_a_group_gets_the_masks_that_its_utterances_get_alone() -> None:
    for num_frames, length in ((0, 10), (12, 10), (300, 10), (300, 7), (300, 1)):
        spec = SPEC.model_copy(update={"length": length})
        together = span_masks(num_frames, spec, [rng_for(4, key) for key in range(6)])
        for key, mask in enumerate(together):
            rng = rng_for(4, key)
            wanted = max(spec.min_spans, int(0.8 * num_frames / length + rng.random()))
            starts = max(num_frames - length, 0)
            starts = starts if starts > wanted else wanted + 1
            spans = {
                start + step
                for start in rng.choice(starts, wanted, replace=False)
                for step in range(length)
            }
            assert np.flatnonzero(mask).tolist() == sorted(n for n in spans if n < num_frames)


def test_the_same_names_draw_the_same_mask() -> None:
    masks = [span_mask(300, SPEC, rng_for(1, "mask", 0, key)) for key in ("a", "a", "b")]
    assert (masks[0] == masks[1]).all()
    assert (masks[0] != masks[2]).any()


def test_equalised_masks_are_subsets_of_the_smallest_size_as_measured() -> None:
    shares = []
    for batch in range(150):
        rng = rng_for(0, "batch", batch)
        masks = [span_mask(249, SPEC, rng) for _ in range(8)]
        equal = equalise(masks, rng)
        smallest = min(mask.sum() for mask in masks)
        for before, after in zip(masks, equal, strict=True):
            assert after.sum() == smallest
            assert not (after & ~before).any()
        shares.append(smallest / 249)
    assert np.mean(shares) == pytest.approx(0.506, abs=0.01)  # section 6, batch of 8
