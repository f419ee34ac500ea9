"""Epochs in windows of shards: nothing lost, the same from any place on, spread evenly, and whole epochs as before."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, islice
from pathlib import Path

import numpy as np
import pytest

from tests.staircases import digest, job_of, write_corpus
from tests.tiny_specs import tiny_training
from wavlm.execution.job import TrainJob
from wavlm.execution.runtime import Runtime
from wavlm.loader import sampler as sampler_module
from wavlm.loader import windows as windows_module
from wavlm.loader.draws import DrawPlan
from wavlm.loader.epochs import SamplerState
from wavlm.loader.loader import loader, make_sampler
from wavlm.loader.sampler import BucketedSampler
from wavlm.loader.windows import WindowedEpoch, Windows, cut_shards
from wavlm.specs import TrainSpec

SHARDS, PER_SHARD = 40, 192  # segments of three utterances
COUNT = SHARDS * PER_SHARD


def train_spec(**changes: object) -> TrainSpec:
    return tiny_training(**{"batch_seconds": 350.0, "group_seconds": 87.5, "window_shards": 8, **changes})


def lengths(count: int = COUNT, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(100, 782, count)


def windows(most_shards: int = 8, corpora: np.ndarray | None = None) -> Windows:
    corpora = np.zeros(SHARDS, np.int64) if corpora is None else corpora
    return Windows.of_shards(np.arange(1, SHARDS + 1) * PER_SHARD, corpora, most_shards, seed=3)


def windowed(**changes: object) -> BucketedSampler:
    return BucketedSampler(lengths(), train_spec(**changes), windows=windows())


def groups_of(sampler: BucketedSampler, number: int) -> list[np.ndarray]:
    epoch = sampler.epoch(number)
    return [epoch.micro_batch(at).utterances for at in range(epoch.num_micro_batches)]


@pytest.mark.parametrize("multiple", [1, 32])
def test_every_utterance_comes_once_per_epoch_in_the_window_of_its_shard(multiple: int) -> None:
    sampler = windowed(crop_frames_multiple=multiple)
    orders = set()
    for number in (0, 1):
        epoch = sampler.epoch(number)
        assert isinstance(epoch, WindowedEpoch)
        delivered = groups_of(sampler, number)
        assert sorted(np.concatenate(delivered)) == list(range(COUNT))
        for at, group in enumerate(delivered):
            assert set(group // 3) <= set(epoch.segments[epoch.window_of(at)])
        assert [len(segments) for segments in epoch.segments] == [SHARDS * 64 // 5] * 5
        orders.add(tuple(np.concatenate(epoch.segments)))
    assert len(orders) == 2


def test_crops_fit_their_micro_batch_and_the_budget() -> None:
    frames, epoch = lengths(), windowed().epoch(0)
    for number in range(epoch.num_micro_batches):
        found = epoch.micro_batch(number)
        assert found.position == SamplerState(0, number)
        assert found.num_frames == frames[found.utterances].min()
        assert frames[found.utterances].max() * len(found.utterances) <= 87.5 * 50


def test_the_stream_goes_on_from_anywhere_and_nothing_before_it_is_made() -> None:
    unbroken = [update.micro_batches for update in islice(windowed().updates(SamplerState()), 500)]
    places = [update[0].position for update in unbroken]
    assert {place.epoch for place in places} >= {0, 1}
    for at in (1, 137, 280, 350, 499):
        again = next(windowed().updates(places[at])).micro_batches
        assert [item.position for item in again] == [item.position for item in unbroken[at]]
        assert [item.utterances.tolist() for item in again] == [item.utterances.tolist() for item in unbroken[at]]


def test_a_window_of_all_shards_is_today_s_order(tmp_path: Path) -> None:
    """A small corpus keeps its order, and its checkpoints."""
    data = (write_corpus(tmp_path, "first", 30),)
    plain, same = (make_sampler(job_of(data, tmp_path, train=train_spec(window_shards=most))) for most in (0, 4))
    assert len(list(data[0].shards.glob("train-*.tar"))) == 4
    assert same.windows is None
    assert same.fingerprint == plain.fingerprint
    fewer = make_sampler(job_of(data, tmp_path, train=train_spec(window_shards=3)))
    assert fewer.windows is not None
    assert fewer.fingerprint != plain.fingerprint


@pytest.mark.parametrize(("name", "value"), [("SEGMENTS", 32), ("GROUP_WINDOWS", 2)])
def test_another_order_has_another_fingerprint(monkeypatch: pytest.MonkeyPatch, name: str, value: int) -> None:
    """Else a checkpoint would go on in the middle of an epoch of another order."""
    before, order = windows().fingerprint, [part.tolist() for part in windows().deal(0)]
    monkeypatch.setattr(windows_module, name, value)
    assert [part.tolist() for part in windows().deal(0)] != order
    assert windows().fingerprint != before


def test_each_shard_has_its_share_of_every_window() -> None:
    """And so each corpus, and each speaker who speaks for more than a segment."""
    dealt = windows()
    for number in range(4):
        for segments in dealt.deal(number):
            counts = np.bincount(dealt.shards[segments], minlength=SHARDS)
            assert (np.abs(counts - 64 / 5) <= 2).all()


def test_a_shard_is_in_the_windows_of_one_group_and_each_group_has_its_share_of_each_corpus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A cache of whole tars needs those of one group at a time: here of 16 shards."""
    monkeypatch.setattr(windows_module, "GROUP_WINDOWS", 8)
    corpora = np.repeat([0, 1, 2], [24, 8, 8])
    dealt = windows(2, corpora)
    orders = set()
    for number in range(4):
        found = dealt.deal(number)
        assert sorted(np.concatenate(found).tolist()) == list(range(len(dealt.ends)))
        assert len(found) == 21  # of groups of 14, 13 and 13 shards
        groups = [set(np.concatenate([dealt.shards_in(part) for part in found[at : at + 7]])) for at in (0, 7, 14)]
        assert sorted(shard for group in groups for shard in group) == list(range(SHARDS))
        for group in groups:
            counts = np.bincount(corpora[sorted(group)], minlength=3)
            assert (np.abs(counts - np.array([24, 8, 8]) / 3) <= 2).all()
        orders.add(tuple(map(frozenset, groups)))
    assert len(orders) == 4


def test_a_shard_of_few_utterances_has_a_segment_for_each() -> None:
    assert cut_shards(np.array([2, 66, 66 + 640])).tolist() == [1, 2, *range(3, 67), *range(76, 707, 10)]


def test_utterances_of_one_segment_do_not_meet_more_often_than_others() -> None:
    """They are in one window in every epoch: drawn at random there, they would. Equal lengths: all could meet."""
    sampler = BucketedSampler(np.full(COUNT, 200), train_spec(), windows=windows())
    together, pairs = 0, 0
    for number in range(8):
        for group in groups_of(sampler, number):
            for one, other in combinations((group // 3).tolist(), 2):
                together += one == other
                pairs += 1
    at_random = pairs * 2 / (COUNT / 5 - 1)  # two others of a segment among those of a window
    assert together < 0.5 * at_random


def test_draws_of_an_epoch_come_as_often_as_without_windows() -> None:
    times, kinds = [0.5, 2.3], np.arange(COUNT) % 2
    plan = DrawPlan(kinds, times, seed=5)
    sampler = BucketedSampler(lengths(), train_spec(), draws=plan, windows=windows())
    for number in (0, 1, 4):
        delivered = [sampler.epoch(number).micro_batch(at) for at in range(sampler.epoch(number).num_micro_batches)]
        counts = Counter(np.concatenate([item.utterances for item in delivered]).tolist())
        assert [counts[utterance] for utterance in range(COUNT)] == plan.counts(number).tolist()
        seen: dict[int, set[int]] = {}
        for item in delivered:
            assert item.repeats is not None
            for utterance, repeat in zip(item.utterances.tolist(), item.repeats.tolist(), strict=True):
                assert repeat not in seen.setdefault(utterance, set())
                seen[utterance].add(repeat)
        assert all(found == set(range(len(found))) for found in seen.values())


@pytest.mark.parametrize("multiple", [1, 32])
def test_windows_of_which_nothing_is_drawn_are_passed_over(multiple: int) -> None:
    kinds = (np.arange(COUNT) // PER_SHARD == 7).astype(int)  # one shard, in the windows of one of two groups
    plan = DrawPlan(kinds, [0.0, 1.0], seed=5)
    train = train_spec(crop_frames_multiple=multiple)
    sampler = BucketedSampler(lengths(), train, draws=plan, windows=windows(most_shards=1))
    for number in (0, 1):
        assert len(sampler.epoch(number).segments) == SHARDS  # type: ignore[union-attr] # it has windows
        delivered = np.concatenate(groups_of(sampler, number))
        assert sorted(delivered) == list(range(7 * PER_SHARD, 8 * PER_SHARD))


def test_a_large_epoch_is_made_once_for_all_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draws = DrawPlan(np.arange(COUNT) % 2, [0.5, 2.3], seed=5)
    for plan in (None, draws):
        alone = BucketedSampler(lengths(), train_spec(), draws=plan)
        expected = [groups_of(alone, number) for number in range(3)]
        monkeypatch.setattr(sampler_module, "FEW_DRAWS", 100)
        ranks = [BucketedSampler(lengths(), train_spec(), draws=plan, cache=tmp_path) for _ in range(2)]
        assert ranks[0].fingerprint == alone.fingerprint
        for number in range(3):
            for rank in ranks:
                found = groups_of(rank, number)
                assert [group.tolist() for group in found] == [group.tolist() for group in expected[number]]
                repeats = rank.epoch(number).micro_batch(3).repeats
                assert (repeats is None) == (plan is None)
        left = {path.name for path in tmp_path.glob(f"epoch-{alone.fingerprint[:16]}-?")}
        assert {name[-1] for name in left} == {"1", "2"}  # those before are no longer needed
        monkeypatch.undo()


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> TrainJob:
    folder = tmp_path_factory.mktemp("windows")
    data = (write_corpus(folder, "first", 60), write_corpus(folder, "second", 20))
    return job_of(data, folder, train=tiny_training(max_crop_seconds=2.5, window_shards=3))


@pytest.mark.slow
def test_batches_in_windows_are_the_same_for_any_ranks_and_restarts(job: TrainJob) -> None:
    unbroken = list(islice(loader(job, SamplerState()), 4 * 20))
    expected = [digest(batch.to("cpu")) for batch in unbroken]
    assert len(set(expected)) == len(expected)
    assert unbroken[-1].position.epoch >= 1
    workers = job.model_copy(update={"runtime": Runtime(workers=1)})
    for world in (1, 2, 4):
        for stop in (0, 7, 18):
            wanted = expected[4 * (stop + 1) : 4 * (stop + 2)]
            for rank in range(world):
                found = islice(loader(workers, unbroken[4 * stop + 3].after, rank, world), 4 // world)
                assert [digest(batch.to("cpu")) for batch in found] == wanted[rank::world]
