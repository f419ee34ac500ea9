"""What is written to a deployment that people have changed."""

from __future__ import annotations

from flows.deploy.changes import compare, flatten, unflatten

WANTED = {"parameters.store": "/s", "parameters.runtime.workers": 2, "tags": ["a"]}


def test_what_is_as_wanted_is_not_written() -> None:
    changes = compare(WANTED, WANTED, dict(WANTED))
    assert not changes.to_set
    assert not changes.to_remove
    assert not changes.kept


def test_what_people_changed_stays() -> None:
    changes = compare(WANTED, WANTED, {**WANTED, "parameters.runtime.workers": 16})
    assert not changes.to_set
    assert changes.kept == ("parameters.runtime.workers",)


def test_what_people_removed_stays_away() -> None:
    current = {path: value for path, value in WANTED.items() if path != "tags"}
    assert compare(WANTED, WANTED, current).kept == ("tags",)


def test_a_new_word_counts_more_than_an_older_change() -> None:
    current = {**WANTED, "parameters.runtime.workers": 16}
    changes = compare({**WANTED, "parameters.runtime.workers": 4}, WANTED, current)
    assert changes.to_set == {"parameters.runtime.workers": 4}
    assert not changes.kept


def test_what_was_never_written_by_us_is_set() -> None:
    changes = compare(WANTED, {}, {**WANTED, "tags": ["b"], "parameters.until": "labels"})
    assert changes.to_set == {"tags": ["a"]}
    assert not changes.to_remove


def test_what_is_no_longer_wanted_is_removed_unless_people_changed_it() -> None:
    applied = {**WANTED, "parameters.runtime.gpus": 1, "parameters.runtime.threads": 3}
    changes = compare(WANTED, applied, {**applied, "parameters.runtime.threads": 8})
    assert changes.to_remove == ("parameters.runtime.gpus",)


def test_leaves_of_a_tree_are_put_together_again() -> None:
    tree = {"parameters": {"runtime": {"workers": 2}, "store": "/s", "until": None}, "tags": ["a", "b"]}
    assert flatten(tree) == {
        "parameters.runtime.workers": 2, "parameters.store": "/s", "parameters.until": None, "tags": ["a", "b"],
    }  # fmt: skip
    assert unflatten(flatten(tree)) == tree
