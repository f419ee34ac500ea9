"""Splits: whole speakers, the publisher's parts, single recordings and folds; the same input gives the same split."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Example, Take
from wavlm.evaluation.splits import split_examples
from wavlm.specs.splits import ByExample, ByPart, BySpeaker, Folds

PARTS = ("train", "dev", "test")


def _examples(speakers: int = 10, each: int = 6) -> list[Example]:
    return [
        Example(
            f"c/s{s}-{n}", f"s{s}", ("train", "dev", "test")[n % 3], 16000, Take(0, s * each + n), {"class": f"{n}"}
        )
        for s in range(speakers)
        for n in range(each)
    ]


def _class_of(example: Example) -> str:
    return str(example.target["class"])  # type: ignore[index,call-overload]


def test_nobody_is_in_two_sets_of_a_split_by_speakers() -> None:
    (split,) = split_examples(_examples(), BySpeaker(type="speakers"), None, _class_of)
    sets = [{item.speaker for item in part} for part in (split.train, split.dev, split.test)]
    assert [len(found) for found in sets] == [6, 2, 2]
    assert all(not a & b for a, b in combinations(sets, 2))
    assert sum(len(part) for part in (split.train, split.dev, split.test)) == 60


def test_one_more_speaker_moves_no_other_one_far() -> None:
    """The draw is in the order of hashes: a new speaker takes one place, the others keep their order."""
    before, after = (
        split_examples(_examples(count), BySpeaker(type="speakers", dev=0.2, test=0.2), None, _class_of)[0]
        for count in (10, 11)
    )
    moved = {item.speaker for item in before.test} - {item.speaker for item in after.test}
    assert len(moved) <= 1


def test_publishers_parts_are_taken_as_named() -> None:
    spec = ByPart(type="parts", train=("train",), dev=("dev",), test=("test",))
    (split,) = split_examples(_examples(), spec, None, _class_of)
    assert {item.part for item in split.test} == {"test"}
    assert len(split.test) == len(split.dev) == len(split.train) == 20


def test_a_part_that_the_corpus_does_not_have_is_an_error_that_names_those_it_has() -> None:
    spec = ByPart(type="parts", train=("train",), dev=("valid",), test=("test",))
    with pytest.raises(BadDataError, match=r"SPLIT_EMPTY: the dev set has no example.*dev, test, train"):
        split_examples(_examples(), spec, None, _class_of)


def test_speakers_of_the_train_part_are_the_dev_part_where_the_publisher_has_none() -> None:
    spec = ByPart(type="parts", train=("train", "dev"), dev_speakers=0.3, test=("test",))
    (split,) = split_examples(_examples(), spec, None, _class_of)
    train, dev = ({item.speaker for item in part} for part in (split.train, split.dev))
    assert (len(train), len(dev)) == (7, 3)
    assert not train & dev
    assert {item.part for item in split.dev} == {"train", "dev"}
    assert len(split.test) == 20


@pytest.mark.parametrize("fields", [{}, {"dev": ("dev",), "dev_speakers": 0.3}])
def test_a_dev_part_is_named_once(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="give either names of dev parts or dev_speakers"):
        ByPart(type="parts", train=("train",), test=("test",), **fields)


def test_a_task_without_training_needs_no_train_part() -> None:
    spec = ByPart(type="parts", dev=("dev",), test=("test",))
    (split,) = split_examples(_examples(), spec, None, _class_of, is_trained=False)
    assert (len(split.train), len(split.dev), len(split.test)) == (0, 20, 20)


def test_single_recordings_keep_the_shares_of_each_class() -> None:
    (split,) = split_examples(_examples(10, 6), ByExample(type="examples", dev=0.2, test=0.2), None, _class_of)
    for part, count in ((split.test, 2), (split.dev, 2), (split.train, 6)):
        assert {name: [_class_of(it) for it in part].count(name) for name in "012345"} == dict.fromkeys("012345", count)


def test_copies_of_a_recording_are_in_one_set() -> None:
    """Publishers publish some recordings twice. One in the training set and one in the test set would be a leak."""
    twice = [replace(item, content=f"c{number // 2}") for number, item in enumerate(_examples())]
    (split,) = split_examples(twice, ByExample(type="examples"), None, lambda _: "all")
    sets = [{item.content for item in part} for part in (split.train, split.dev, split.test)]
    assert all(not a & b for a, b in combinations(sets, 2))


def test_each_speaker_is_the_test_fold_once() -> None:
    splits = split_examples(_examples(4), Folds(type="folds"), None, _class_of)
    assert [{item.speaker for item in split.test} for split in splits] == [{"s0"}, {"s1"}, {"s2"}, {"s3"}]
    assert [{item.speaker for item in split.dev} for split in splits] == [{"s1"}, {"s2"}, {"s3"}, {"s0"}]
    assert all(len({item.speaker for item in split.train}) == 2 for split in splits)


def test_two_speakers_are_too_few_for_folds() -> None:
    with pytest.raises(BadDataError, match="SPLIT_EMPTY: found 2 speakers"):
        split_examples(_examples(2), Folds(type="folds"), None, _class_of)


def test_a_limit_keeps_the_same_examples_whatever_else_there_is() -> None:
    spec = ByPart(type="parts", train=("train",), dev=("dev",), test=("test",))
    (few,) = split_examples(_examples(), spec, 5, _class_of)
    (again,) = split_examples(list(reversed(_examples())), spec, 5, _class_of)
    assert {item.key for item in few.test} == {item.key for item in again.test}
    assert len(few.test) == 5


@pytest.mark.parametrize("fields", [{"dev": ("a",)}, {"test": ("a", "c")}, {"dev": ("b",), "test": ("b",)}])
def test_what_was_seen_is_not_scored(fields: dict[str, tuple[str, ...]]) -> None:
    given = {"train": ("a",), "dev": ("b",), "test": ("c",)} | fields
    with pytest.raises(ValueError, match="is a part to learn from or to choose by, too"):
        ByPart(type="parts", **given)  # type: ignore[arg-type]
