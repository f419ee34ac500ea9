"""The order of training: every example once per epoch, little padding, and the same from any place on."""

from __future__ import annotations

from itertools import islice

import numpy as np

from wavlm.finetune.order import EpochPlace, groups_from, groups_of

LENGTHS = np.random.default_rng(0).integers(1000, 9000, size=300).tolist()
MOST = 40_000


def test_an_epoch_has_every_example_once_within_the_size_of_a_micro_batch() -> None:
    groups = groups_of(LENGTHS, MOST, 0, 0, 0)
    assert sorted(number for group in groups for number in group) == list(range(300))
    padded = [len(group) * max(LENGTHS[number] for number in group) for group in groups]
    assert max(padded) <= MOST
    assert sum(padded) < 1.15 * sum(LENGTHS)  # in shuffled order it would be 1.5 times


def test_an_example_that_is_longer_than_a_micro_batch_is_alone() -> None:
    groups = groups_of([*LENGTHS[:20], 90_000], MOST, 0, 0, 0)
    assert [20] in groups


def test_epochs_stages_and_seeds_have_orders_of_their_own() -> None:
    orders = [groups_of(LENGTHS, MOST, *names) for names in ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0))]
    assert all(a != b for number, a in enumerate(orders) for b in orders[:number])


def test_the_order_goes_on_from_any_place_over_the_end_of_an_epoch() -> None:
    whole = list(islice(groups_from(LENGTHS, MOST, 3, 0, EpochPlace()), 120))
    assert whole[-1][0].epoch >= 1
    for begin in (1, 30, 100):
        place = whole[begin - 1][0]
        after = EpochPlace(epoch=place.epoch, group=place.group + 1)
        assert list(islice(groups_from(LENGTHS, MOST, 3, 0, after), 120 - begin)) == whole[begin:]
