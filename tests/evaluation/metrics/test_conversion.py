"""Mel-cepstral distortion: as pysptk, pyworld and fastdtw compute it, and the exact path."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.metrics.cases import CONVERSION_SECONDS, CONVERSIONS, PITCH_HZ, read_speech
from wavlm.errors import BadDataError
from wavlm.evaluation.metrics.conversion import envelopes_to_cepstra, mcd_db, warp

REFERENCES = json.loads(Path(__file__).with_name("references.json").read_text())
RATE_HZ = 16_000


@pytest.mark.parametrize("name", CONVERSIONS)
def test_the_distortion_is_that_of_pyworld_and_pysptk_along_the_exact_path(name: str) -> None:
    """The path that SUPERB's reference approximates (the second number) costs more."""
    target, other = (read_speech(key, CONVERSION_SECONDS) for key in CONVERSIONS[name])
    exact_db, approximate_db = REFERENCES["conversion"][name]
    assert mcd_db(target, other, RATE_HZ, PITCH_HZ) == pytest.approx(exact_db, rel=1e-4)
    assert approximate_db > exact_db


def test_an_utterance_has_no_distortion_to_itself_and_its_level_counts() -> None:
    """Half the amplitude: the zeroth coefficient differs by ln 2, so 10 / ln 10 * sqrt(2) * ln 2 = 4.26 dB."""
    target = read_speech(CONVERSIONS["two women"][0], 1.0)
    assert mcd_db(target, target, RATE_HZ, PITCH_HZ) == 0
    assert mcd_db(target, target / 2, RATE_HZ, PITCH_HZ) == pytest.approx(4.2571, abs=0.01)


def test_cepstra_are_those_of_pysptk() -> None:
    frequencies = np.linspace(0, np.pi, 513)
    spectra = np.stack([np.exp(2 * np.cos(frequencies * number)) + 0.1 * number for number in (1, 3)])
    found = envelopes_to_cepstra(spectra, 0.466)
    assert np.abs(found - np.array(REFERENCES["cepstra"])).max() < 1e-10


@pytest.mark.parametrize("seed", range(5))
def test_the_path_is_the_cheapest_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=(int(rng.integers(1, 9)), 3)), rng.normal(size=(int(rng.integers(1, 9)), 3))

    def cost(row: int, column: int) -> float:
        return float(np.linalg.norm(left[row] - right[column]))

    @cache
    def cheapest(row: int, column: int) -> float:
        """By trying all paths from here to the ends."""
        steps = [(row + 1, column + 1), (row + 1, column), (row, column + 1)]
        inside = [step for step in steps if step[0] < len(left) and step[1] < len(right)]
        return cost(row, column) + min((cheapest(*step) for step in inside), default=0.0)

    rows, columns = warp(left, right)
    assert (rows[0], columns[0], rows[-1], columns[-1]) == (0, 0, len(left) - 1, len(right) - 1)
    steps = np.stack([np.diff(rows), np.diff(columns)])
    assert ((steps >= 0) & (steps <= 1)).all()
    assert (steps.sum(axis=0) > 0).all()
    assert sum(map(cost, rows, columns)) == pytest.approx(cheapest(0, 0))


def test_what_has_no_distortion_is_refused() -> None:
    target = read_speech(CONVERSIONS["two women"][0], 1.0)
    with pytest.raises(BadDataError, match=r"METRIC_MISFIT: MCD: signals at 8000 Hz; expected one of \[16000, 24000\]"):
        mcd_db(target, target, 8000, PITCH_HZ)
    with pytest.raises(BadDataError, match=r"METRIC_UNDEFINED: MCD: there is no sound .* found 16000 samples, all 0"):
        mcd_db(target, np.zeros(16_000), RATE_HZ, PITCH_HZ)
    with pytest.raises(BadDataError, match=r"NOT_FINITE: MCD: 16000 of 16000 values"):
        mcd_db(target, np.full(16_000, np.nan), RATE_HZ, PITCH_HZ)
