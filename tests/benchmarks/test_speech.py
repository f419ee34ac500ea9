"""The audio that benchmarks make up, and that both sides do the same work on it."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from benchmarks import end_to_end, loader, mfcc
from benchmarks.jobs import MIX
from benchmarks.speech import SHARDS_VARIABLE, speech, utterance
from wavlm.features.mfcc import mfcc as our_mfcc
from wavlm.loader.epochs import SamplerState
from wavlm.loader.loader import loader as batches_of
from wavlm.shards.flac import encode_flac
from wavlm.specs import SAMPLE_RATE_HZ

SHORT = (2.0, 2.4)


@pytest.fixture(autouse=True)
def _no_shards_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SHARDS_VARIABLE, raising=False)


def test_made_up_utterances_are_the_same_every_time_and_differ() -> None:
    np.testing.assert_array_equal(utterance(3, SHORT), utterance(3, SHORT))
    first, second = utterance(1, (2, 2)), utterance(2, (2, 2))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.2
    assert np.abs(first).max() <= 1


def test_made_up_audio_has_the_size_of_read_speech() -> None:
    made = [utterance(number, SHORT) for number in range(6)]
    seconds = sum(map(len, made)) / SAMPLE_RATE_HZ
    assert 15_000 < sum(len(encode_flac(one)) for one in made) / seconds < 21_000


@pytest.mark.slow
def test_given_shards_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with speech(3, SHORT) as made:
        monkeypatch.setenv(SHARDS_VARIABLE, str(made.shards))
        with speech(7, SHORT) as given:
            assert given.shards == made.shards
            assert given.seconds == made.seconds
        with speech(2, SHORT, may_be_given=False) as other:
            assert other.seconds < made.seconds


# webdataset leaves its tars to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_both_loaders_deliver_nearly_all_of_the_audio() -> None:
    with speech(9, SHORT) as audio:
        made = loader._job(audio)
        ours = loader._ours(made, as_floats=True)()
        theirs = loader._webdataset(audio, made)()
        everything = loader._decode(audio)()
    assert everything == pytest.approx(audio.seconds)
    assert 0.8 * everything < ours <= everything
    assert 0.8 * everything < theirs <= everything


def test_the_peer_mixes_as_often_and_as_loudly_as_we_do() -> None:
    rng = np.random.default_rng(0)
    crops = np.float32(0.1) * rng.standard_normal((2000, 400), dtype=np.float32)
    mixed = loader._mix(crops, rng)
    changed = np.flatnonzero((mixed != crops).any(1))
    assert len(changed) / len(crops) == pytest.approx(MIX.probability, abs=0.04)
    added = (mixed - crops)[changed]
    within = added != 0
    assert within.sum(1).max() <= 200
    per_sample_db = 10 * np.log10((added**2).sum() / within.sum() / np.mean(crops**2))
    assert -1 < per_sample_db < 2  # ratios from -5 to 5 dB, whose mean power is 1.15


def test_the_slopes_beside_kaldis_cepstra_are_ours() -> None:
    waveform = utterance(0, SHORT)
    np.testing.assert_allclose(mfcc._knf(waveform), our_mfcc(waveform), atol=3e-3)


def test_what_is_kept_in_memory_is_what_the_trainer_would_load() -> None:
    with speech(4, SHORT) as audio:
        made = end_to_end._job(audio, end_to_end.ON_CPU, "job")
        alone = made.model_copy(update={"runtime": made.runtime.model_copy(update={"workers": 0})})
        for ours, kept in zip(
            islice(batches_of(made, SamplerState()), 3),
            islice(batches_of(alone, SamplerState()), 3),
            strict=True,
        ):
            assert ours.audio.waveforms().equal(kept.audio.waveforms())


def test_warming_up_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    rates, waits = (1, 2, 30, 40, 50), (0.9, 0.9, 0.1, 0.2, 0.3)
    path.write_text(
        "".join(
            json.dumps({"audio_seconds_per_second": rate, "train/data_wait": wait}) + "\n"
            for rate, wait in zip(rates, waits, strict=True)
        )
    )
    assert end_to_end._second_half(path) == end_to_end.TrainingRates(rate=40, data_wait=0.2)
