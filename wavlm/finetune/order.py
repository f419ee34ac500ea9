"""The order of training: which examples stand together in the micro-batches of an epoch.

Lengths are near each other within a micro-batch, so that little is padding. What an epoch holds depends on the seed,
the stage and the epoch alone, so a restart finds its place by two numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ConfigDict

from wavlm.rng import rng_for

POOL = 16  # micro-batches whose examples are sorted by length together


class EpochPlace(BaseModel):
    """A place in the order of training: the micro-batch that comes next."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: int = 0
    group: int = 0  # micro-batches of this epoch that are done


def groups_of(num_samples: Sequence[int], most_samples: int, seed: int, stage: int, epoch: int) -> list[list[int]]:
    """The micro-batches of an epoch: numbers of examples, each in one micro-batch.

    num_samples: of each example as it is heard. most_samples: of a micro-batch with its padding; a longer example is
    alone.
    """
    rng = rng_for(seed, "order", stage, epoch)
    order = rng.permutation(len(num_samples)).tolist()
    groups: list[list[int]] = []
    for pool in _pools(order, num_samples, POOL * most_samples):
        group: list[int] = []
        for number in sorted(pool, key=lambda number: num_samples[number]):  # stable: equal ones stay shuffled
            if group and (len(group) + 1) * num_samples[number] > most_samples:
                groups.append(group)
                group = []
            group.append(number)
        groups.append(group)
    return [groups[place] for place in rng.permutation(len(groups)).tolist()]


def groups_from(
    num_samples: Sequence[int], most_samples: int, seed: int, stage: int, place: EpochPlace
) -> Iterator[tuple[EpochPlace, list[int]]]:
    """The micro-batches from a place on, without end, each with its own place."""
    epoch, begin = place.epoch, place.group
    while True:
        groups = groups_of(num_samples, most_samples, seed, stage, epoch)
        for number in range(begin, len(groups)):
            yield EpochPlace(epoch=epoch, group=number), groups[number]
        epoch, begin = epoch + 1, 0


def _pools(order: Sequence[int], num_samples: Sequence[int], most_samples: int) -> Iterator[list[int]]:
    pool: list[int] = []
    total = 0
    for number in order:
        pool.append(number)
        total += num_samples[number]
        if total >= most_samples:
            yield pool
            pool, total = [], 0
    if pool:
        yield pool
