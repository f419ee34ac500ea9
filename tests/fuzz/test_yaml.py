"""Recipes that were changed at random are read right or refused with a code."""

from collections import Counter

from tests.fuzz.yaml import cases, run


def test_changed_recipes_are_read_right_or_refused() -> None:
    results = run(count=60, seed=3)
    assert [item for item in results if item["outcome"] not in ("ok", "coded")] == []
    counts = Counter(item["outcome"] for item in results)
    assert counts["coded"] > 20
    assert counts["ok"] > 2


def test_the_same_seed_makes_the_same_files() -> None:
    assert list(cases(10, seed=5)) == list(cases(10, seed=5))
