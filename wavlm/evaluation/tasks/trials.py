"""Pairs of recordings to compare: those of a publisher's list, or made by rule from recordings and their speakers.

Legend: N trials, E examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from wavlm.corpus.targets import Trials, read_trials
from wavlm.errors import BadDataError, Code
from wavlm.evaluation.examples import Example
from wavlm.evaluation.labelled import LabelledCorpus
from wavlm.rng import rng_for

Integers = npt.NDArray[np.int64]
PATIENCE = 20  # rounds of drawing pairs: few pairs that were not drawn yet are then left


@dataclass(frozen=True)
class Pairs:
    """Trials among some examples."""

    left: Integers  # (N,) numbers of examples
    right: Integers  # (N,)
    is_target: npt.NDArray[np.bool_]  # (N,) whether both are of one speaker

    def __len__(self) -> int:
        return len(self.left)


Listed = dict[str, JsonValue]  # by enrolment side: {list: [[key of the other side, is target], ...]}


def read_lists(corpora: Sequence[LabelledCorpus], names: Sequence[str]) -> list[Listed]:
    """The trials of these lists in each corpus.

    Raises BadDataError (TARGET_MISSING) for a list that none of them has.
    """
    every = [read_trials(corpus.corpus_dir) for corpus in corpora]
    known = dict.fromkeys(name for trials in every for name in trials.names)
    if lost := [name for name in names if name not in known]:
        raise BadDataError(
            Code.TARGET_MISSING,
            f"there is no list of trials {', '.join(lost)}, found {', '.join(known) or 'none'}; in the corpora "
            f"{', '.join(corpus.name for corpus in corpora)}; name one of them, or none to make trials by rule",
        )
    return [_by_enrolment(trials, corpus.name, names) for trials, corpus in zip(every, corpora, strict=True)]


def find_trials(examples: Sequence[Example], lists: Sequence[str], most: int) -> dict[str, Pairs]:
    """The trials of some examples, by list; where no list names them, trials made by rule, under an empty name."""
    if lists and any(listed_in(item) for item in examples):
        return {name: pair_listed(examples, name) for name in lists}
    return {"": pair_by_rule([item.key for item in examples], [item.speaker for item in examples], most)}


def pair_listed(examples: Sequence[Example], name: str) -> Pairs:
    """The trials of a list among some examples.

    Raises BadDataError (TARGET_BAD) for trials that name recordings outside of them.
    """
    number_of = {item.key: number for number, item in enumerate(examples)}
    found, outside = list[tuple[int, int, int]](), []
    for number, item in enumerate(examples):
        for key, is_target in listed_in(item).get(name, ()):
            if key in number_of:
                found.append((number, number_of[key], is_target))
            else:
                outside.append(key)
    if outside:
        raise BadDataError(
            Code.TARGET_BAD,
            f"{len(outside)} trials of {name} name recordings outside of the part that they begin in, such as "
            f"{outside[0]}; in the evaluation's split; name the part of the list, and no max_utterances",
        )
    columns = np.array(found, dtype=np.int64).reshape(-1, 3).T
    return Pairs(columns[0], columns[1], columns[2].astype(np.bool_))


def listed_in(example: Example) -> Mapping[str, Sequence[tuple[str, int]]]:
    """The other side and the answer of each trial that begins with an example, by list."""
    return example.target.get("trials", {}) if isinstance(example.target, dict) else {}  # type: ignore[return-value]


def _by_enrolment(trials: Trials, corpus: str, names: Sequence[str]) -> Listed:
    found: dict[str, Any] = {}
    for name in names:
        chosen = trials.of(name)
        for enrol, test, is_target in zip(chosen.enrol, chosen.test, chosen.is_target, strict=True):
            found.setdefault(enrol, {}).setdefault(name, []).append([f"{corpus}/{test}", int(is_target)])
    return found


def pair_by_rule(keys: Sequence[str], speakers: Sequence[str], most: int) -> Pairs:
    """All pairs of examples (E,), or at most so many: half of one speaker, if there are so many, and half of two.

    Keys and speakers alone decide which ones are drawn, in whatever order they come.
    """
    order = np.array(sorted(range(len(keys)), key=lambda number: keys[number]), dtype=np.int64)
    groups = np.unique([speakers[number] for number in order], return_inverse=True)[1]
    count = len(order)
    if count * (count - 1) // 2 <= most:
        left, right = np.triu_indices(count, 1)
    else:
        sizes = np.bincount(groups)
        num_same = int((sizes * (sizes - 1) // 2).sum())
        num_other = count * (count - 1) // 2 - num_same
        wanted_same = min(num_same, max(most // 2, most - num_other))
        left, right = np.concatenate(
            [_same(groups, wanted_same), _other(groups, min(num_other, most - wanted_same))], axis=1
        )
    return Pairs(order[left], order[right], groups[left] == groups[right])


def _same(groups: Integers, wanted: int) -> Integers:
    """Pairs within groups, (2, wanted), drawn by chance among all of them."""
    members = [np.flatnonzero(groups == group) for group in range(int(groups.max()) + 1)]
    counts = np.array([len(item) * (len(item) - 1) // 2 for item in members])
    if not wanted:
        return np.empty((2, 0), dtype=np.int64)
    chosen = np.sort(rng_for(0, "trials", "same").choice(int(counts.sum()), wanted, replace=False))
    ends = np.cumsum(counts)
    group_of = np.searchsorted(ends, chosen, side="right")
    pairs = []
    for group in np.unique(group_of):
        places = chosen[group_of == group] - (ends[group] - counts[group])
        left, right = np.triu_indices(len(members[group]), 1)
        pairs.append(members[group][np.stack([left[places], right[places]])])
    return np.concatenate(pairs, axis=1)


def _other(groups: Integers, wanted: int) -> Integers:
    """Pairs of two groups, (2, wanted), drawn by chance without one twice; fewer only where nearly all are drawn."""
    rng, count = rng_for(0, "trials", "other"), len(groups)
    found = np.empty(0, dtype=np.int64)
    for _ in range(PATIENCE):
        if len(found) >= wanted:
            break
        drawn = np.sort(rng.integers(count, size=(2, 2 * wanted)), axis=0)
        codes = (drawn[0] * count + drawn[1])[groups[drawn[0]] != groups[drawn[1]]]
        every = np.concatenate([found, codes])
        found = every[np.sort(np.unique(every, return_index=True)[1])]
    chosen = np.sort(found[:wanted])
    return np.stack([chosen // count, chosen % count])
