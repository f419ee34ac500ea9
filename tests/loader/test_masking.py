"""Span masks against the closed form and the measured table of docs/algorithm.md section 6."""

from math import comb

import numpy as np
import pytest
import torch

from tests.test_rng import splitmix64
from wavlm.loader.masking import Spans
from wavlm.rng import seed_for, stream_seeds
from wavlm.specs import MaskSpec

pytestmark = pytest.mark.numeric

SPEC = MaskSpec()
EQUALISED = MaskSpec(equalise=True)
CPU = torch.device("cpu")


def draws(num_frames: int, count: int, name: str = "mask", spec: MaskSpec = SPEC) -> np.ndarray:
    begin = stream_seeds(4, (name,), [str(number) for number in range(count)])
    return Spans(num_frames, spec, begin).masks(CPU).numpy()


def interior(num_frames: int) -> float:
    """Masked fraction far from the ends: 1 - C(F - 20, n) / C(F - 10, n), averaged over both possible n."""
    wanted = 0.8 * num_frames / 10
    few, share = int(wanted), wanted % 1
    missed = [comb(num_frames - 20, n) / comb(num_frames - 10, n) for n in (few, few + 1)]
    return 1 - (1 - share) * missed[0] - share * missed[1]


@pytest.mark.parametrize(
    ("num_frames", "fraction", "spread", "first"),
    [(99, 0.5722, 0.071, 0.086), (249, 0.5673, 0.044, 0.081), (781, 0.5663, 0.025, 0.077)],
)
def test_masks_have_the_reference_statistics(num_frames: int, fraction: float, spread: float, first: float) -> None:
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
    assert draws(num_frames, 7).shape == (7, num_frames)


@pytest.mark.parametrize("num_frames", [0, 12, 13, 40, 45, 300])
@pytest.mark.parametrize("length", [1, 7, 10])
@pytest.mark.parametrize("min_spans", [0, 2])
def test_the_starts_are_those_of_the_smallest_priorities(num_frames: int, length: int, min_spans: int) -> None:
    spec = SPEC.model_copy(update={"length": length, "min_spans": min_spans})
    masks = draws(num_frames, 40, "priorities", spec)
    for number, mask in enumerate(masks):
        u, *priorities = splitmix64(seed_for(4, "priorities", number), num_frames + 4)
        wanted = max(min_spans, int(0.8 * num_frames / length + (u >> 11) / 2**53))
        possible = num_frames - length if num_frames - length > wanted else wanted + 1
        starts = sorted(range(possible), key=priorities.__getitem__)[:wanted]
        masked = {start + offset for start in starts for offset in range(length)}
        assert np.flatnonzero(mask).tolist() == sorted(n for n in masked if n < num_frames)


def test_every_start_is_as_likely_as_any_other() -> None:
    spec = SPEC.model_copy(update={"length": 1, "probability": 0.1})
    counts = draws(100, 20_000, spec=spec).sum(0)  # 10 of 99 starts each
    expected = 20_000 * 10 / 99
    # The variance of a count is that of a share of 10/99; five of its deviations.
    assert np.abs(counts[:99] - expected).max() < 5 * np.sqrt(expected * (1 - 10 / 99))
    assert counts[99] == 0


def test_equalised_masks_are_subsets_of_the_smallest_size_as_measured() -> None:
    shares = []
    for batch in range(150):
        masks = draws(249, 8, f"batch {batch}")
        equal = draws(249, 8, f"batch {batch}", EQUALISED)
        smallest = min(mask.sum() for mask in masks)
        for before, after in zip(masks, equal, strict=True):
            assert after.sum() == smallest
            assert not (after & ~before).any()
        shares.append(smallest / 249)
    assert np.mean(shares) == pytest.approx(0.506, abs=0.01)  # section 6, batch of 8


@pytest.mark.parametrize("num_frames", [12, 13, 40, 300])
def test_equalised_masks_keep_the_frames_of_the_smallest_priorities(num_frames: int) -> None:
    masks = draws(num_frames, 9)
    equal = draws(num_frames, 9, spec=EQUALISED)
    num_starts = max(num_frames - 10, max(2, int(0.08 * num_frames) + 1) + 1)
    for number, (before, after) in enumerate(zip(masks, equal, strict=True)):
        numbers = splitmix64(seed_for(4, "mask", number), 1 + num_starts + num_frames)
        priorities = [output >> 11 for output in numbers[1 + num_starts :]]
        kept = sorted(np.flatnonzero(before).tolist(), key=priorities.__getitem__)[: masks.sum(1).min()]
        assert np.flatnonzero(after).tolist() == sorted(kept)


@pytest.mark.parametrize("num_frames", [0, 3, 12, 13, 40])
def test_short_masks_are_equalised_too(num_frames: int) -> None:
    counts = draws(num_frames, 9, spec=EQUALISED).sum(1)
    assert (counts == draws(num_frames, 9).sum(1).min()).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("num_frames", [12, 40, 749])
@pytest.mark.parametrize("spec", [SPEC, EQUALISED])
def test_a_gpu_makes_the_same_masks(num_frames: int, spec: MaskSpec) -> None:
    spans = Spans(num_frames, spec, stream_seeds(4, ("gpu",), "abcdefghijklm"))
    assert torch.equal(spans.masks(torch.device("cuda")).cpu(), spans.masks(CPU))
