"""Trials made by rule: all pairs where they are few, else a bounded draw that depends on keys and speakers alone."""

from __future__ import annotations

from itertools import combinations

from wavlm.evaluation.tasks.trials import Pairs, pair_by_rule


def _named(pairs: Pairs, keys: list[str]) -> set[tuple[str, str]]:
    return {tuple(sorted((keys[a], keys[b]))) for a, b in zip(pairs.left, pairs.right, strict=True)}  # type: ignore[misc]


def _recordings(speakers: int, each: int) -> tuple[list[str], list[str]]:
    keys = [f"s{s}-{n}" for s in range(speakers) for n in range(each)]
    return keys, [key.split("-")[0] for key in keys]


def test_few_recordings_are_all_paired() -> None:
    keys, speakers = _recordings(3, 2)
    pairs = pair_by_rule(keys, speakers, 100)
    assert _named(pairs, keys) == set(combinations(keys, 2))
    assert pairs.is_target.sum() == 3


def test_of_many_recordings_half_of_the_trials_are_of_one_speaker_and_none_is_there_twice() -> None:
    keys, speakers = _recordings(20, 10)
    pairs = pair_by_rule(keys, speakers, 500)
    assert len(pairs) == len(_named(pairs, keys)) == 500
    assert pairs.is_target.sum() == 250
    same = [speakers[a] == speakers[b] for a, b in zip(pairs.left, pairs.right, strict=True)]
    assert same == pairs.is_target.tolist()
    drawn = {speakers[a] for a, b in zip(pairs.left, pairs.right, strict=True) if speakers[a] == speakers[b]}
    assert len(drawn) == 20  # nobody is left out


def test_all_trials_of_one_speaker_are_taken_where_they_are_few() -> None:
    keys, speakers = _recordings(30, 2)
    pairs = pair_by_rule(keys, speakers, 300)
    assert pairs.is_target.sum() == 30
    assert len(pairs) == 300


def test_the_order_of_recordings_changes_no_trial() -> None:
    keys, speakers = _recordings(12, 6)
    first = pair_by_rule(keys, speakers, 200)
    again = pair_by_rule(keys[::-1], speakers[::-1], 200)
    assert _named(first, keys) == _named(again, keys[::-1])
