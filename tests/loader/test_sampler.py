"""The plan of epochs: conserved, never padded, the same for any rank, varied between epochs."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest

from wavlm.loader.sampler import Plan, Position, fixed_groups, share
from wavlm.specs import TrainSpec


def train_spec(**changes: object) -> TrainSpec:
    fields: dict[str, object] = {
        "updates": 10,
        "warmup_updates": 1,
        "peak_lr": 1e-3,
        "batch_seconds": 350.0,
        "group_seconds": 87.5,
    }
    return TrainSpec.model_validate({**fields, **changes})


def lengths(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(100, 782, count)


@pytest.mark.parametrize("count", [1, 2, 7, 500])
def test_every_utterance_is_delivered_once_an_epoch(count: int) -> None:
    plan = Plan(lengths(count), train_spec())
    for number in range(3):
        epoch = plan.epoch(number)
        delivered = [n for g in range(epoch.num_groups) for n in epoch.group(g).utterances]
        assert sorted(delivered) == list(range(count))


def test_a_group_is_as_long_as_its_shortest_and_no_larger_than_the_budget() -> None:
    frames = lengths(500)
    epoch = Plan(frames, train_spec()).epoch(0)
    for number in range(epoch.num_groups):
        group = epoch.group(number)
        assert group.num_frames == frames[group.utterances].min()
        assert frames[group.utterances].max() * len(group.utterances) <= 87.5 * 50


@pytest.mark.parametrize(("seconds", "utterances"), [(87.5, 5), (56.25, 3)])
def test_full_crops_come_as_many_to_a_group_as_in_the_paper(seconds: float, utterances: int) -> None:
    frames = np.full(60, 781)
    plan = Plan(frames, train_spec(group_seconds=seconds, batch_seconds=4 * seconds))
    epoch = plan.epoch(0)
    assert {len(epoch.group(number).utterances) for number in range(epoch.num_groups)} == {utterances}


def test_little_audio_is_lost_to_cropping() -> None:
    frames = lengths(2000)
    epoch = Plan(frames, train_spec()).epoch(0)
    kept = (epoch.num_frames * np.diff(epoch.bounds)).sum()
    assert kept / frames.sum() > 0.97


def shapes(plan: Plan, number: int) -> list[tuple[int, int]]:
    """(utterances, frames) of each group of an epoch, in the order of delivery."""
    epoch = plan.epoch(number)
    groups = [epoch.group(place) for place in range(epoch.num_groups)]
    return [(len(group.utterances), group.num_frames) for group in groups]


def test_crops_of_a_multiple_of_frames_come_in_one_size_of_group_for_each_length() -> None:
    plan = Plan(lengths(3000), train_spec(crop_frames_multiple=32))
    found = [shapes(plan, number) for number in range(3)]
    assert len({tuple(sorted(epoch)) for epoch in found}) == 1  # no epoch brings another shape
    multiples = range(96, 782, 32)
    full = {(int(87.5 * 50) // frames, frames) for frames in multiples}
    (left_over,) = set(found[0]) - full
    assert left_over[1] == 96
    assert len(set(found[0]) & full) == len(multiples)


def test_crops_of_a_multiple_lose_no_utterance_and_little_audio_and_keep_to_the_budget() -> None:
    frames = lengths(2000)
    epoch = Plan(frames, train_spec(crop_frames_multiple=32)).epoch(1)
    assert sorted(epoch.utterances) == list(range(2000))
    assert (np.repeat(epoch.num_frames, np.diff(epoch.bounds)) <= frames[epoch.utterances]).all()
    assert (epoch.num_frames * np.diff(epoch.bounds)).max() <= 87.5 * 50
    assert (epoch.num_frames * np.diff(epoch.bounds)).sum() / frames.sum() > 0.95


def test_utterances_shorter_than_the_multiple_are_taken_whole() -> None:
    plan = Plan(np.array([20, 40, 20, 20]), train_spec(crop_frames_multiple=64))
    assert shapes(plan, 0) == [(4, 20)]


def test_partners_change_from_epoch_to_epoch() -> None:
    plan = Plan(lengths(500), train_spec())

    def partners(number: int) -> set[frozenset[int]]:
        epoch = plan.epoch(number)
        return {frozenset(epoch.group(g).utterances.tolist()) for g in range(epoch.num_groups)}

    assert len(partners(0) & partners(1)) < 0.05 * len(partners(0))


def test_the_stream_is_continuous_over_epochs_and_restarts_anywhere() -> None:
    plan = Plan(lengths(60), train_spec(batch_seconds=5 * 87.5))
    updates = list(islice(plan.updates(Position()), 12))
    groups = [group.position for update in updates for group in update.groups]
    assert groups[0] == Position(0, 0)
    for before, after in pairwise(groups):
        assert after in {Position(before.epoch, before.group + 1), Position(before.epoch + 1, 0)}
    assert {group.epoch for group in groups} >= {0, 1, 2}
    for number, update in enumerate(updates[:-1]):
        again = next(plan.updates(update.after))
        expected = updates[number + 1].groups
        assert [g.position for g in again.groups] == [g.position for g in expected]
        assert all(np.array_equal(a.utterances, b.utterances) for a, b in zip(again.groups, expected, strict=True))


def test_an_epoch_is_sorted_once_and_the_last_one_kept() -> None:
    plan = Plan(lengths(60), train_spec())
    third = plan.epoch(3)
    assert plan.epoch(3) is third
    fourth = plan.epoch(4)
    assert plan.epoch(4) is fourth
    assert plan.epoch(3) is not third  # one is enough: an epoch of 94,000 hours is 500 MB
    assert np.array_equal(plan.epoch(3).utterances, third.utterances)


@pytest.mark.parametrize("world", [1, 2, 3, 6])
def test_ranks_share_an_update_and_leave_nothing(world: int) -> None:
    update = next(Plan(lengths(100), train_spec(batch_seconds=6 * 87.5)).updates(Position()))
    shares = [share(update.groups, rank, world) for rank in range(world)]
    assert {len(groups) for groups in shares} == {6 // world}
    assert sorted(g.position for groups in shares for g in groups) == [g.position for g in update.groups]


def test_a_number_of_ranks_that_does_not_divide_is_refused_with_those_that_do() -> None:
    update = next(Plan(lengths(100), train_spec(batch_seconds=6 * 87.5)).updates(Position()))
    with pytest.raises(ValueError, match=r"6 groups .* 4 processes; possible: 1, 2, 3, 6"):
        share(update.groups, 0, 4)


def test_the_fingerprint_tells_other_data_seeds_and_sizes_apart() -> None:
    frames = lengths(50)
    plans = [
        Plan(frames, train_spec(), "a"),
        Plan(frames, train_spec(), "b"),
        Plan(frames[::-1], train_spec(), "a"),
        Plan(frames, train_spec(seed=1), "a"),
        Plan(frames, train_spec(group_seconds=70.0), "a"),
    ]
    assert len({plan.fingerprint for plan in plans}) == len(plans)
    same = Plan(frames, train_spec(updates=99, peak_lr=1.0), "a")
    assert same.fingerprint == plans[0].fingerprint


def test_utterances_too_short_for_a_span_are_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match=r"utterance 1 has 12 frames; spans of 10 .* more than 12"):
        Plan(np.array([50, 12]), train_spec())
    with pytest.raises(ValueError, match=r"utterance 0 has 16 frames; .* need more than 22"):
        Plan(np.array([31]), train_spec(crop_frames_multiple=16, mask={"length": 20}))
    with pytest.raises(ValueError, match="empty train split"):
        Plan(np.array([], dtype=np.int64), train_spec())


def test_a_position_behind_the_end_of_its_epoch_is_refused() -> None:
    plan = Plan(lengths(20), train_spec())
    with pytest.raises(ValueError, match="epoch 0 has 3 groups, position asks for number 99"):
        next(plan.updates(Position(0, 99)))


def test_validation_groups_hold_every_utterance_in_a_fixed_order() -> None:
    frames = lengths(40)
    groups = fixed_groups(frames, train_spec())
    delivered = [int(n) for group in groups for n in group.utterances]
    assert sorted(delivered) == list(range(40))
    assert frames[delivered].tolist() == sorted(frames, reverse=True)
    assert fixed_groups(np.array([], dtype=np.int64), train_spec()) == ()
