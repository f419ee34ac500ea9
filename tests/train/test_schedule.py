"""The learning rate follows its closed form; the fp16 loss scale doubles, halves and gives up."""

import pytest

from tests.tiny_specs import tiny_training
from wavlm.errors import BadDataError
from wavlm.specs import TrainSpec
from wavlm.train.schedule import LossScale, learning_rate


def spec(**changes: object) -> TrainSpec:
    fields = {
        "updates": 100,
        "warmup_updates": 8,
        "peak_lr": 5e-4,
        "batch_seconds": 8.0,
        "group_seconds": 4.0,
        **changes,
    }
    return tiny_training(**fields)


def test_rate_is_two_straight_lines_that_meet_at_the_peak() -> None:
    train = spec()
    assert learning_rate(8, train) == 5e-4
    assert learning_rate(4, train) == pytest.approx(2.5e-4)
    assert learning_rate(54, train) == pytest.approx(5e-4 * 46 / 92)
    assert learning_rate(100, train) == 0.0


def test_first_update_is_not_lost_to_a_rate_of_zero() -> None:
    assert learning_rate(0, spec()) == learning_rate(1, spec()) == pytest.approx(5e-4 / 8)


def test_rate_starts_at_the_peak_without_warm_up() -> None:
    assert learning_rate(0, spec(warmup_updates=0)) == 5e-4


def test_every_update_of_a_run_that_only_warms_up_has_a_rate() -> None:
    rates = [learning_rate(done, spec(updates=8)) for done in range(8)]
    assert all(rate > 0 for rate in rates)


def test_scale_is_one_unless_training_in_fp16() -> None:
    scale = LossScale.first(spec(precision="bf16"))
    assert scale.value == 1.0
    assert scale.after(spec(precision="bf16"), overflow=False).value == 1.0


def test_fp16_scale_doubles_after_a_clean_window_of_groups_whatever_the_ranks() -> None:
    train = spec(precision="fp16", batch_seconds=4.0 * 4096)  # 4096 groups an update
    scale = LossScale.first(train)
    values = []
    for _ in range(9):
        scale = scale.after(train, overflow=False)
        values.append(scale.value)
    assert values == [128, 128, 128, 256, 256, 256, 256, 512, 512]


def test_overflow_halves_the_scale_and_starts_the_window_anew() -> None:
    train = spec(precision="fp16", batch_seconds=4.0 * 4096)
    scale = LossScale.first(train)
    for overflow in (False, False, True, False, False, False):
        scale = scale.after(train, overflow=overflow)
    assert scale == LossScale(64.0, clean_updates=3)


def test_scale_stops_at_the_floor_with_advice() -> None:
    train = spec(precision="fp16")
    scale = LossScale.first(train)
    for _ in range(20):
        scale = scale.after(train, overflow=True)
    assert scale.value == 128 / 2**20  # 1.2e-4, the last power above 1e-4
    with pytest.raises(BadDataError, match=r"LOSS_SCALE_FLOOR.*bf16"):
        scale.after(train, overflow=True)
