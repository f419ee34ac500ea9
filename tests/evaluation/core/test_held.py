"""Examples in columns are the examples that were given, in every split and order, and travel as objects."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from wavlm.evaluation import held
from wavlm.evaluation.examples import Example, Take
from wavlm.evaluation.held import (
    HeldExamples,
    KeyRows,
    change_examples,
    choose_examples,
    hold_examples,
    join_examples,
    order_by_key,
)
from wavlm.evaluation.splits import split_examples
from wavlm.rng import rng_for
from wavlm.specs.splits import ByExample, ByPart, BySpeaker, Folds, SplitSpec

TEXTS = ("", "a", "b\u00e9", "\u4e2d\u6587", "\U0001f600", "B")


def made(count: int = 200) -> list[Example]:
    """Examples of all kinds of texts, takes and targets, with copies; keys in no order."""
    rng = rng_for(0, "held")
    found = []
    for number in rng.permutation(count).tolist():
        stop = None if number % 3 else 400 + number
        found.append(
            Example(
                key=f"{TEXTS[number % 6]}c{number}/x",
                speaker=f"{TEXTS[number % 5]}{number % 7}" if number % 11 else "",
                part=("train", "dev", "test", "")[number % 4],
                num_samples=number * 100_000_000_000,
                audio=Take(number % 2, 7 * number, 5 * (number % 4), stop),
                target={"class": TEXTS[number % 6], "n": [number, 0.1, None, True]} if number % 2 else "text \u00e9",
                content=f"{number % 90}" if number % 5 else "",
            )
        )
    return found


def test_what_is_held_is_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "KNOWN_TEXTS", 3)  # most texts are written again
    given = made()
    kept = hold_examples(iter(given))
    assert list(kept) == given
    assert [kept[number] for number in (0, 7, -1)] == [given[0], given[7], given[-1]]
    assert list(kept[10:20:3]) == given[10:20:3]
    assert list(choose_examples(kept, [5, 3])) == [given[5], given[3]]
    assert pickle.loads(pickle.dumps(kept[3:5])) == tuple(given[3:5])


@pytest.mark.parametrize(
    "spec",
    [
        ByPart(type="parts", train=("train", ""), dev=("dev",), test=("test",)),
        ByPart(type="parts", train=("train", ""), dev_speakers=0.4, test=("test", "dev")),
        BySpeaker(type="speakers", dev=0.2, test=0.3),
        ByExample(type="examples", dev=0.2, test=0.3, seed=4),
        Folds(type="folds", by="parts"),
    ],
    ids=lambda spec: spec.type,
)
@pytest.mark.parametrize("most", [None, 9])
def test_splits_of_columns_are_those_of_objects(spec: SplitSpec, most: int | None) -> None:
    given = made()
    class_of: Callable[[Example], str] = lambda item: str(item.num_samples % 3)  # noqa: E731
    columns, objects = (split_examples(kind, spec, most, class_of) for kind in (hold_examples(given), tuple(given)))
    assert len(columns) == len(objects) > 0
    for one, other in zip(columns, objects, strict=True):
        assert isinstance(one.train, HeldExamples)
        assert (one.name, *map(tuple, (one.train, one.dev, one.test))) == (
            *(other.name, other.train, other.dev, other.test),
        )


def test_several_sets_are_ordered_by_key_and_each_key_comes_once() -> None:
    given = made()
    kept = hold_examples(given)
    wanted = sorted(given, key=lambda item: item.key)
    assert list(order_by_key([kept[150:], kept[:160]])) == wanted
    changed = change_examples(kept[:20], lambda item: replace(item, part="new") if item.num_samples else None)
    assert len(changed) == 19 + all(item.num_samples for item in given[:20])
    both = {item.key: item for item in (*given, *changed)}
    assert list(order_by_key([kept, changed])) == [both[key] for key in sorted(both)]  # the last one of a key counts
    assert list(order_by_key([kept, tuple(changed)])) == [both[key] for key in sorted(both)]
    assert change_examples(kept, lambda item: item) is kept
    assert list(join_examples(kept[:2], kept[5:6])) == [*given[:2], given[5]]
    assert join_examples(kept[:1], changed[:1]) == (given[0], changed[0])


def test_rows_are_found_by_key_also_where_two_digests_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    given = made()
    rows = KeyRows([given[:90], hold_examples(given[90:])])
    assert [rows[item.key] for item in given] == list(range(len(given)))
    with pytest.raises(KeyError, match="nobody"):
        rows["nobody"]
    with pytest.raises(ValueError, match="one key twice among 201 examples"):
        KeyRows([given, given[:1]])
    digest = KeyRows._digest
    monkeypatch.setattr(KeyRows, "_digest", lambda self, key: digest(self, key) if self._salt else len(key))
    again = KeyRows([given])
    assert [again[item.key] for item in given] == list(range(len(given)))
    assert np.all(np.diff(again._sorted.astype(object)) > 0)
