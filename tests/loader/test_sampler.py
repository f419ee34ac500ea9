"""The bucketed batch sampler: nothing lost, nothing padded, the same for any rank, other partners in each epoch."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest

from tests.tiny_specs import tiny_training
from wavlm.loader.epochs import SamplerState, number_buckets, shuffle_epoch
from wavlm.loader.sampler import BucketedSampler, fixed_micro_batches, rank_share
from wavlm.specs import TrainSpec


def train_spec(**changes: object) -> TrainSpec:
    return tiny_training(**{"batch_seconds": 350.0, "group_seconds": 87.5, **changes})


def lengths(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(100, 782, count)


@pytest.mark.parametrize("count", [1, 2, 7, 500])
def test_every_utterance_is_delivered_once_an_epoch(count: int) -> None:
    sampler = BucketedSampler(lengths(count), train_spec())
    for number in range(3):
        epoch = sampler.epoch(number)
        delivered = [n for g in range(epoch.num_micro_batches) for n in epoch.micro_batch(g).utterances]
        assert sorted(delivered) == list(range(count))


def test_a_micro_batch_is_as_long_as_its_shortest_and_no_larger_than_the_budget() -> None:
    frames = lengths(500)
    epoch = BucketedSampler(frames, train_spec()).epoch(0)
    for number in range(epoch.num_micro_batches):
        micro_batch = epoch.micro_batch(number)
        assert micro_batch.num_frames == frames[micro_batch.utterances].min()
        assert frames[micro_batch.utterances].max() * len(micro_batch.utterances) <= 87.5 * 50


@pytest.mark.parametrize(("seconds", "utterances"), [(87.5, 5), (56.25, 3)])
def test_full_crops_come_as_many_to_a_micro_batch_as_in_the_paper(seconds: float, utterances: int) -> None:
    frames = np.full(60, 781)
    sampler = BucketedSampler(frames, train_spec(group_seconds=seconds, batch_seconds=4 * seconds))
    epoch = sampler.epoch(0)
    assert {len(epoch.micro_batch(number).utterances) for number in range(epoch.num_micro_batches)} == {utterances}


@pytest.mark.parametrize("multiple", [1, 200])
@pytest.mark.parametrize("digits", [1, 3, 17])
def test_an_epoch_is_sorted_by_bucket_and_place_before_its_micro_batches_are_shuffled(
    multiple: int, digits: int
) -> None:
    """Also where many draws have the same place: then by their numbers, on every processor."""
    spec, frames = train_spec(crop_frames_multiple=multiple), lengths(3000) // multiple * multiple + multiple
    places = np.random.default_rng(0).random(3000).round(digits)
    epoch = shuffle_epoch(frames, places, spec, 0, np.random.default_rng(1))
    shuffled = np.random.default_rng(1).permutation(epoch.num_micro_batches)
    pieces = np.split(epoch.utterances, epoch.bounds[1:-1])
    whole = np.concatenate([pieces[at] for at in np.argsort(shuffled)])
    np.testing.assert_array_equal(whole, np.lexsort((places, -number_buckets(frames, spec))))


def test_little_audio_is_lost_to_cropping() -> None:
    frames = lengths(2000)
    epoch = BucketedSampler(frames, train_spec()).epoch(0)
    kept = (epoch.num_frames * np.diff(epoch.bounds)).sum()
    assert kept / frames.sum() > 0.97


def shapes(sampler: BucketedSampler, number: int) -> list[tuple[int, int]]:
    """(utterances, frames) of each micro-batch of an epoch, in the order of delivery."""
    epoch = sampler.epoch(number)
    micro_batches = [epoch.micro_batch(index) for index in range(epoch.num_micro_batches)]
    return [(len(micro_batch.utterances), micro_batch.num_frames) for micro_batch in micro_batches]


def test_crops_of_a_multiple_of_frames_come_in_one_size_of_micro_batch_for_each_length() -> None:
    sampler = BucketedSampler(lengths(3000), train_spec(crop_frames_multiple=32))
    found = [shapes(sampler, number) for number in range(3)]
    assert len({tuple(sorted(epoch)) for epoch in found}) == 1  # no epoch brings another shape
    multiples = range(96, 782, 32)
    full = {(int(87.5 * 50) // frames, frames) for frames in multiples}
    (left_over,) = set(found[0]) - full
    assert left_over[1] == 96
    assert len(set(found[0]) & full) == len(multiples)


def test_crops_of_a_multiple_lose_no_utterance_and_little_audio_and_keep_to_the_budget() -> None:
    frames = lengths(2000)
    epoch = BucketedSampler(frames, train_spec(crop_frames_multiple=32)).epoch(1)
    assert sorted(epoch.utterances) == list(range(2000))
    assert (np.repeat(epoch.num_frames, np.diff(epoch.bounds)) <= frames[epoch.utterances]).all()
    assert (epoch.num_frames * np.diff(epoch.bounds)).max() <= 87.5 * 50
    assert (epoch.num_frames * np.diff(epoch.bounds)).sum() / frames.sum() > 0.95


def test_utterances_shorter_than_the_multiple_are_taken_whole() -> None:
    sampler = BucketedSampler(np.array([20, 40, 20, 20]), train_spec(crop_frames_multiple=64))
    assert shapes(sampler, 0) == [(4, 20)]


def test_partners_change_from_epoch_to_epoch() -> None:
    sampler = BucketedSampler(lengths(500), train_spec())

    def partners(number: int) -> set[frozenset[int]]:
        epoch = sampler.epoch(number)
        return {frozenset(epoch.micro_batch(g).utterances.tolist()) for g in range(epoch.num_micro_batches)}

    assert len(partners(0) & partners(1)) < 0.05 * len(partners(0))


def test_the_stream_is_continuous_over_epochs_and_restarts_anywhere() -> None:
    sampler = BucketedSampler(lengths(60), train_spec(batch_seconds=5 * 87.5))
    updates = list(islice(sampler.updates(SamplerState()), 12))
    states = [micro_batch.position for update in updates for micro_batch in update.micro_batches]
    assert states[0] == SamplerState(0, 0)
    for before, after in pairwise(states):
        assert after in {SamplerState(before.epoch, before.group + 1), SamplerState(before.epoch + 1, 0)}
    assert {state.epoch for state in states} >= {0, 1, 2}
    for number, update in enumerate(updates[:-1]):
        again = next(sampler.updates(update.after))
        expected = updates[number + 1].micro_batches
        assert [g.position for g in again.micro_batches] == [g.position for g in expected]
        assert all(
            np.array_equal(a.utterances, b.utterances) for a, b in zip(again.micro_batches, expected, strict=True)
        )


def test_an_epoch_is_sorted_once_and_the_last_one_kept() -> None:
    sampler = BucketedSampler(lengths(60), train_spec())
    third = sampler.epoch(3)
    assert sampler.epoch(3) is third
    fourth = sampler.epoch(4)
    assert sampler.epoch(4) is fourth
    assert sampler.epoch(3) is not third  # one is enough: an epoch of 94,000 hours is 500 MB
    assert np.array_equal(sampler.epoch(3).utterances, third.utterances)


@pytest.mark.parametrize("world", [1, 2, 3, 6])
def test_ranks_share_an_update_and_leave_nothing(world: int) -> None:
    update = next(BucketedSampler(lengths(100), train_spec(batch_seconds=6 * 87.5)).updates(SamplerState()))
    shares = [rank_share(update.micro_batches, rank, world) for rank in range(world)]
    assert {len(micro_batches) for micro_batches in shares} == {6 // world}
    assert sorted(g.position for micro_batches in shares for g in micro_batches) == [
        g.position for g in update.micro_batches
    ]


def test_a_number_of_ranks_that_does_not_divide_is_refused_with_those_that_do() -> None:
    update = next(BucketedSampler(lengths(100), train_spec(batch_seconds=6 * 87.5)).updates(SamplerState()))
    with pytest.raises(ValueError, match=r"6 micro-batches .* 4 processes; possible: 1, 2, 3, 6"):
        rank_share(update.micro_batches, 0, 4)


def test_the_fingerprint_tells_other_data_seeds_and_sizes_apart() -> None:
    frames = lengths(50)
    samplers = [
        BucketedSampler(frames, train_spec(), "a"),
        BucketedSampler(frames, train_spec(), "b"),
        BucketedSampler(frames[::-1], train_spec(), "a"),
        BucketedSampler(frames, train_spec(seed=1), "a"),
        BucketedSampler(frames, train_spec(group_seconds=70.0), "a"),
    ]
    assert len({sampler.fingerprint for sampler in samplers}) == len(samplers)
    same = BucketedSampler(frames, train_spec(updates=99, peak_lr=1.0), "a")
    assert same.fingerprint == samplers[0].fingerprint


def test_utterances_too_short_for_a_span_are_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match=r"a crop of 12 frames, masks need 13; at utterance 1"):
        BucketedSampler(np.array([50, 12]), train_spec())
    with pytest.raises(ValueError, match=r"a crop of 16 frames, masks need 23; at utterance 0"):
        BucketedSampler(np.array([31]), train_spec(crop_frames_multiple=16, mask={"length": 20}))
    with pytest.raises(ValueError, match="no utterance to train on; in the train split"):
        BucketedSampler(np.array([], dtype=np.int64), train_spec())


def test_the_first_state_is_the_beginning_of_the_first_epoch() -> None:
    assert (SamplerState().epoch, SamplerState().group) == (0, 0)
    first = next(BucketedSampler(lengths(20), train_spec()).updates(SamplerState()))
    assert first.micro_batches[0].position == SamplerState(0, 0)


@pytest.mark.parametrize("number", [3, 99])
def test_a_sampler_state_behind_the_end_of_its_epoch_is_refused(number: int) -> None:
    sampler = BucketedSampler(lengths(20), train_spec())
    with pytest.raises(ValueError, match=f"epoch 0 has 3 micro-batches; the sampler state asks for number {number}"):
        next(sampler.updates(SamplerState(0, number)))


def test_validation_micro_batches_hold_every_utterance_in_a_fixed_order() -> None:
    frames = lengths(40)
    micro_batches = fixed_micro_batches(frames, train_spec())
    delivered = [int(n) for micro_batch in micro_batches for n in micro_batch.utterances]
    assert sorted(delivered) == list(range(40))
    assert frames[delivered].tolist() == sorted(frames, reverse=True)
    assert fixed_micro_batches(np.array([], dtype=np.int64), train_spec()) == ()
