"""SI-SDR as mir_eval computes it, PESQ and STOI wired the right way round, and what cannot be scored."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.metrics.cases import read_speech, separated
from wavlm.errors import BadDataError
from wavlm.evaluation.metrics.separation import pesq_wb, score_separation, si_sdr_db, stoi

RATE_HZ = 16_000
REFERENCES = json.loads(Path(__file__).with_name("references.json").read_text())["separation"]


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return read_speech("1188-133604-0042", 2.0)


@pytest.fixture(scope="module")
def noisy(speech: np.ndarray) -> np.ndarray:
    """The speech with noise at 5 dB."""
    noise = np.random.default_rng(0).normal(size=speech.size)
    return speech + noise * np.sqrt((speech**2).mean() / (noise**2).mean()) * 10 ** (-5 / 20)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (1, 2)])
def test_the_ratio_is_that_of_mir_eval_with_a_filter_of_one_tap(row: int, column: int) -> None:
    references, found, mixture = separated()
    assert si_sdr_db(references[row], [*found, mixture][column]) == pytest.approx(REFERENCES[row][column], abs=1e-6)


def test_sources_are_scored_in_their_best_order_and_gain_over_the_mixture() -> None:
    references, found, mixture = separated()
    scored = score_separation(references, found, mixture)
    (_, right_of_0, before_0), (right_of_1, _, before_1) = REFERENCES
    assert scored.order == (1, 0)
    assert scored.si_sdr_db == pytest.approx((right_of_0, right_of_1), abs=1e-6)
    assert scored.improvement_db == pytest.approx((right_of_0 - before_0, right_of_1 - before_1), abs=1e-6)


def test_the_ratio_of_orthogonal_noise_is_that_of_the_powers_whatever_the_scale() -> None:
    """Sines of 100 and 200 Hz over whole periods: powers 1 and 0.01 times, 20 dB. A mean counts as distortion."""
    time_s = np.arange(RATE_HZ) / RATE_HZ
    signal, noise = np.sin(2 * np.pi * 100 * time_s), 0.1 * np.sin(2 * np.pi * 200 * time_s)
    assert si_sdr_db(signal, 7 * (signal + noise)) == pytest.approx(20)
    assert si_sdr_db(signal, signal + np.sqrt(0.05)) == pytest.approx(10)


def test_stoi_looks_where_the_reference_has_speech(speech: np.ndarray) -> None:
    """Noise behind the end of the reference costs nothing, and speech that the reference lacks costs nothing either."""
    silence, noise = np.zeros(RATE_HZ), 0.1 * np.random.default_rng(1).normal(size=RATE_HZ)
    reference, found = np.concatenate([speech, silence]), np.concatenate([speech, noise])
    assert stoi(reference, found, RATE_HZ) == pytest.approx(1, abs=1e-3)
    assert stoi(found, reference, RATE_HZ) < 0.9


def test_pesq_is_worse_for_added_noise_than_for_noise_that_is_taken_away(speech: np.ndarray, noisy: np.ndarray) -> None:
    """Its asymmetry: what is added counts more than what is lacking (Rix et al. 2001, ICASSP)."""
    at_25_db = speech + 0.1 * (noisy - speech)
    assert pesq_wb(speech, at_25_db, RATE_HZ) < pesq_wb(at_25_db, speech, RATE_HZ) - 0.05


def test_the_same_signal_has_the_best_score_and_noise_lowers_it(speech: np.ndarray, noisy: np.ndarray) -> None:
    """4.64 is the end of the scale of ITU-T P.862.2: 0.999 + 4 / (1 + exp(-1.3669 * 4.5 + 3.8224))."""
    assert pesq_wb(speech, speech, RATE_HZ) == pytest.approx(0.999 + 4 / (1 + np.exp(-1.3669 * 4.5 + 3.8224)), abs=1e-3)
    assert stoi(speech, speech, RATE_HZ) == pytest.approx(1, abs=1e-6)
    assert 1.0 < pesq_wb(speech, noisy, RATE_HZ) < 2.0
    assert 0.6 < stoi(speech, noisy, RATE_HZ) < 0.95


@pytest.mark.parametrize("score", [pesq_wb, stoi])
def test_another_rate_or_length_is_refused(score: object, speech: np.ndarray) -> None:
    with pytest.raises(BadDataError, match=r"METRIC_MISFIT: (PESQ|STOI): signals at 8000 Hz; expected 16000 Hz"):
        score(speech, speech, 8000)  # type: ignore[operator]
    with pytest.raises(
        BadDataError, match=r"METRIC_MISFIT: .* a reference of shape \(32000,\) and a result of \(31999,\)"
    ):
        score(speech, speech[1:], RATE_HZ)  # type: ignore[operator]


def test_silence_has_no_score(speech: np.ndarray) -> None:
    silence = np.zeros_like(speech)
    for score in (si_sdr_db, lambda ours, theirs: pesq_wb(ours, theirs, RATE_HZ)):
        with pytest.raises(BadDataError, match=r"METRIC_UNDEFINED: .*the reference has 32000 samples, all 0"):
            score(silence, speech)
        with pytest.raises(BadDataError, match=r"METRIC_UNDEFINED: .*the result has 32000 samples, all 0"):
            score(speech, silence)


def test_too_little_speech_has_no_score(speech: np.ndarray) -> None:
    with pytest.raises(BadDataError, match=r"METRIC_UNDEFINED: PESQ: .* found 3999 samples, expected at least 4000"):
        pesq_wb(speech[:3999], speech[:3999], RATE_HZ)
    for size in (1e-300, 1.0):  # nothing that is loud enough; a level that is NaN
        click = np.zeros(8000)
        click[-1] = size
        with pytest.raises(BadDataError, match=r"METRIC_UNDEFINED: PESQ: .* found no speech in 8000 samples: "):
            pesq_wb(click, speech[:8000], RATE_HZ)
    with pytest.raises(BadDataError, match=r"METRIC_UNDEFINED: STOI: .* found less than 0.4 s of speech"):
        stoi(speech[:5000], speech[:5000], RATE_HZ)


def test_what_is_not_finite_or_of_another_number_of_sources_is_refused(speech: np.ndarray) -> None:
    broken = speech.copy()
    broken[7] = np.nan
    with pytest.raises(BadDataError, match=r"NOT_FINITE: SI-SDR: 1 of 32000 values .* number 7"):
        si_sdr_db(speech, broken)
    with pytest.raises(BadDataError, match=r"METRIC_MISFIT: SI-SDR: references \(2, 32000\) and results \(1, 32000\)"):
        score_separation(np.stack([speech] * 2), speech[None], speech)
