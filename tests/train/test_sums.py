"""Means are sums over counts, exactly, also of a single frame."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest

from wavlm.mixing.counts import MixingCounts
from wavlm.train.masked_prediction import MaskedPredictionSums

SUMS = MaskedPredictionSums(
    loss=12.0, loss_frames=8.0, penalty=4.0, masked_loss=3.0, masked_frames=2.0, masked_correct=1.0,
    unmasked_loss=9.0, unmasked_frames=6.0, unmasked_correct=3.0, frames=16.0, audio_seconds=5.0, tera_operations=7.0,
)  # fmt: skip


def test_every_mean_is_the_quotient_of_its_sums() -> None:
    assert SUMS.metrics("it") == {
        "it/loss": 1.5,
        "it/loss_bits": pytest.approx(1.5 / math.log(2)),
        "it/feature_penalty": 0.5,
        "it/masked_loss": 1.5,
        "it/masked_accuracy": 0.5,
        "it/unmasked_loss": 1.5,
        "it/unmasked_accuracy": 0.5,
    }
    assert SUMS.masked_fraction == 0.125


def test_one_frame_is_enough_and_none_is_no_division_by_zero() -> None:
    one = MaskedPredictionSums(loss=3.0, loss_frames=1.0, penalty=2.0, masked_frames=1.0, frames=1.0)
    assert (one.mean_loss, one.masked_fraction, one.metrics("it")["it/feature_penalty"]) == (3.0, 1.0, 2.0)
    none = MaskedPredictionSums()
    assert (none.mean_loss, none.masked_fraction) == (0.0, 0.0)


def test_sums_add_field_by_field_and_begin_with_nothing() -> None:
    assert SUMS.plus(MaskedPredictionSums()) == SUMS
    both = SUMS.plus(SUMS)
    for field in fields(SUMS):
        assert getattr(both, field.name) == 2 * getattr(SUMS, field.name)
    numbers = {field.name: getattr(SUMS, field.name) for field in fields(SUMS)}
    assert MaskedPredictionSums.from_numbers({**numbers, "other": 1.0}) == SUMS


def test_counts_of_what_was_mixed_begin_with_nothing() -> None:
    nothing = MixingCounts()
    assert not any(nothing.numbers.values())
    some = MixingCounts(utterances=3, with_speech=2, speech_ratio_millidb=100, gain=1)
    assert some.plus(nothing) == some == nothing.plus(some)
