"""ABX: against the figures of libri-light, triplet by triplet with one's own hands, and where the answer is known."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from wavlm.errors import BadDataError
from wavlm.evaluation.facts import Mode, Unit
from wavlm.evaluation.fast.abx import average_errors, draw_errors, find_interval, judge_triplets
from wavlm.evaluation.fast.distances import measure_distances
from wavlm.evaluation.fast.tokens import Token
from wavlm.evaluation.fast.triplets import Triplets, draw_triplets

pytestmark = pytest.mark.numeric

# Written by libri_light_abx.py in this folder, which says how to run it again.
REFERENCE = Path(__file__).parent / "libri_light_abx.json"
ALL = 10**6


def token(number: int, phone: str, speaker: str = "s", context: str = "k", *, is_known: bool = True) -> Token:
    return Token(number, 0, 1, phone, (0, context, "m"), speaker, is_known)


def measure(tokens: list[Token], frames: list[np.ndarray], mode: Mode) -> float:
    triplets = draw_triplets(tokens, mode, ALL, ALL, seed=0)
    wrong = judge_triplets(dict(enumerate(frames)), triplets)
    return float(average_errors(wrong[None], triplets)[0])


def read_reference() -> tuple[dict[str, float], list[Token], list[np.ndarray]]:
    found = json.loads(REFERENCE.read_text())
    tokens = [
        Token(number, 0, 1, item["phone"], (0, *item["context"]), item["speaker"], is_known=True)
        for number, item in enumerate(found["tokens"])
    ]
    return found, tokens, [np.array(item["frames"], np.float32) for item in found["tokens"]]


@pytest.mark.parametrize("mode", ["within", "across"])
def test_the_error_is_that_of_libri_light(mode: Mode) -> None:
    found, tokens, frames = read_reference()
    assert measure(tokens, frames, mode) == pytest.approx(found[mode], abs=2e-6)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """The mean angle along the path of least sum, all paths tried. Random frames have no paths of the same sum."""
    exact = (frames.astype(np.float64) for frames in (one, other))
    unit = [frames / np.linalg.norm(frames, axis=1, keepdims=True) for frames in exact]
    angles = np.arccos(np.clip(unit[0] @ unit[1].T, -1, 1)) / np.pi

    def paths(i: int, j: int) -> list[tuple[float, int]]:
        if i == j == 0:
            return [(angles[0, 0], 1)]
        before = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        found = [path for k, n in before if k >= 0 and n >= 0 for path in paths(k, n)]
        return [(total + angles[i, j], steps + 1) for total, steps in found]

    total, steps = min(paths(len(one) - 1, len(other) - 1))
    return total / steps


def test_distances_are_those_of_the_best_of_all_paths() -> None:
    rng = np.random.default_rng(1)
    tokens = [rng.normal(size=(int(rng.integers(1, 6)), 7)).astype(np.float32) for _ in range(12)]
    first, second = (rng.integers(0, 12, 60) for _ in range(2))
    found = measure_distances(tokens, first, second)
    assert found == pytest.approx(
        [distance(tokens[i], tokens[j]) for i, j in zip(first, second, strict=True)], abs=1e-7
    )


def test_cells_are_averaged_by_context_then_by_speaker_then_by_pair() -> None:
    """A loop over all triplets. Contexts have different numbers of them, so a plain mean would be another number."""
    _, tokens, frames = read_reference()
    cells = defaultdict(list)
    distances = np.array([[distance(one, other) for other in frames[:60]] for one in frames[:60]])
    for a, b, x in product(range(60), repeat=3):
        of_a, of_b, of_x = tokens[a], tokens[b], tokens[x]
        are_alike = len({(item.speaker, item.context) for item in (of_a, of_b, of_x)}) == 1
        if a != x and are_alike and of_a.phone == of_x.phone != of_b.phone:
            cells[of_a.phone, of_b.phone, of_a.speaker, of_a.context].append(distances[a, x] > distances[b, x])
    by_speaker, by_pair = defaultdict(list), defaultdict(list)
    for (one, other, speaker, _), wrong in cells.items():
        by_speaker[one, other, speaker].append(np.mean(wrong))
    for (one, other, _), means in by_speaker.items():
        by_pair[one, other].append(np.mean(means))
    expected = np.mean([np.mean(means) for means in by_pair.values()])
    assert measure(tokens[:60], frames[:60], "within") == pytest.approx(expected)
    assert abs(np.mean([one for wrong in cells.values() for one in wrong]) - expected) > 0.001


@pytest.mark.parametrize("mode", ["within", "across"])
def test_phones_that_lie_apart_have_no_error_and_noise_has_half(mode: Mode) -> None:
    rng = np.random.default_rng(2)
    tokens = [token(n, "ab"[n % 2], speaker="rs"[n // 2 % 2], context="kptf"[n // 4 % 4]) for n in range(160)]
    noise = [rng.normal(size=(3, 8)) for _ in tokens]
    apart = [frames * 0.1 + 5 * np.eye(8)[n % 2] for n, frames in enumerate(noise)]
    assert measure(tokens, apart, mode) == 0
    assert measure(tokens, noise, mode) == pytest.approx(0.5, abs=0.04)
    same = [np.ones((2, 8))] * len(tokens)
    assert measure(tokens, same, mode) == 0.5  # ties


def test_frames_that_are_not_finite_are_an_error_and_not_a_good_figure() -> None:
    tokens = [token(n, "ab"[n % 2]) for n in range(8)]
    with pytest.raises(BadDataError, match="NaN or infinity"):
        measure(tokens, [np.full((2, 4), np.nan)] * 8, "within")


def test_across_speakers_counts_what_the_speaker_changes() -> None:
    """The speaker moves a token further than the phone: right within speakers, wrong across them."""
    tokens = [token(n, "ab"[n % 2], speaker="rs"[n // 2 % 2], context="kptf"[n // 4 % 4]) for n in range(80)]
    rng = np.random.default_rng(3)
    vowel = {("a", "r"): [1, 0, 0, 0], ("b", "r"): [1, 1, 0, 0], ("a", "s"): [1, 2, 0, 0], ("b", "s"): [1, 9, 0, 0]}
    frames = [np.array([vowel[item.phone, item.speaker]]) + 1e-3 * rng.normal(size=(2, 4)) for item in tokens]
    assert measure(tokens, frames, "within") == 0
    assert measure(tokens, frames, "across") == pytest.approx(0.5)  # X = a of s is nearer to b of r; b of s to b


def test_a_speaker_who_is_not_known_is_no_other_speaker() -> None:
    tokens = [token(n, "ab"[n % 2], speaker=f"{n // 4}/?", is_known=False) for n in range(40)]
    assert draw_triplets(tokens, "across", ALL, ALL, seed=0).num_cells == 0
    assert draw_triplets(tokens, "within", ALL, ALL, seed=0).num_cells == 20


def test_cells_and_tokens_are_bounded_and_the_seed_decides_which() -> None:
    _, tokens, _ = read_reference()
    every = draw_triplets(tokens, "within", ALL, ALL, seed=0)
    few = [draw_triplets(tokens, "within", 10, 2, seed) for seed in (0, 0, 1)]
    assert all(item.num_cells == 10 for item in few)
    assert np.bincount(few[0].cells).max() <= 2 * 1 * 2
    assert every.num_cells > 30
    assert [item.x.tolist() for item in few[:2]] == [few[0].x.tolist()] * 2
    assert few[2].x.tolist() != few[0].x.tolist()
    wrong = [item for item in range(len(every.a)) if tokens[every.a[item]].phone != tokens[every.x[item]].phone]
    assert not wrong


@pytest.mark.parametrize("unit", get_args(Unit))
def test_the_interval_holds_the_error_of_all_speech_as_often_as_it_says(
    unit: Unit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty draws of speech from one distribution. Speakers differ, so that their utterances are alike."""
    monkeypatch.setattr("wavlm.evaluation.fast.abx.DRAWS", 200)

    def draw(num_speakers: int, seed: int) -> tuple[Triplets, np.ndarray, list[Token]]:
        rng = np.random.default_rng(seed)
        tokens = [token(n, "ab"[n % 2], speaker=f"{n // 8:04d}") for n in range(8 * num_speakers)]
        apart = rng.uniform(0, 3, num_speakers) if unit == "speakers" else np.full(num_speakers, 1.5)
        frames = [rng.normal(size=(2, 4)) + apart[n // 8] * np.eye(4)[n % 2] for n in range(len(tokens))]
        triplets = draw_triplets(tokens, "within", ALL, ALL, seed=0)
        return triplets, judge_triplets(dict(enumerate(frames)), triplets)[None], tokens

    triplets, wrong, _ = draw(500, 0)
    truth, inside = average_errors(wrong, triplets)[0], 0
    for seed in range(1, 21):
        triplets, wrong, tokens = draw(25, seed)
        blocks = np.array([number // 8 if unit == "speakers" else number for number in range(len(tokens))])
        found = average_errors(wrong, triplets)[0]
        low, high = find_interval(found, draw_errors(wrong, triplets, blocks, unit, seed)[:, 0], 0.95)
        inside += low <= truth <= high
        assert high - low < 0.2
    assert inside >= 16  # 0.95 of 20 is 19; below 16 is one chance in 400
