"""What became of the recordings of a generation: known, changed, removed, new; and only their owner moves them."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from wavlm.corpus.growth.history import History, Version
from wavlm.corpus.growth.match import Match, Present, match
from wavlm.corpus.layouts import Recording


def present(key: str, sha256: str = "a", split: str | None = None, text: str | None = None) -> Present:
    return Present(Recording(key, PurePosixPath(f"{key}.flac"), "ann", text, split=split), sha256)


def version(item: Present, split: str = "train") -> Version:
    said = item.recording
    return Version(
        said.key, str(said.path), None, None, None, said.speaker, split, 1, item.sha256, 16000, 16000, item.row, 1, 1
    )


def matched(before: list[Version], now: list[Present], rule: str = "speakers") -> Match:
    return match(History(tuple(before), rule, 0.1), 1, now)  # type: ignore[arg-type]


def test_each_recording_is_known_changed_removed_or_new() -> None:
    one, two, three = (present(key, key) for key in ("one", "two", "three"))
    found = matched(
        [version(one), version(two), version(three)], [one, present("two", "two", text="x"), present("n", "n")]
    )
    assert (*found.known, *found.changed) == ("one", "two")
    assert [item.key for item in found.removed] == ["three"]
    assert [item.recording.key for item in found.new] == ["n"]


@pytest.mark.parametrize(
    ("rule", "was", "says", "moves"),
    [
        ("speakers", "valid", None, False),
        ("speakers", "valid", "train", False),  # a publisher's column that does not decide
        ("speakers", "train", "valid", True),
        ("speakers", "train", "test", True),
        ("layout", "TEST_SPLIT", "test", False),
        ("layout", "TEST_SPLIT", "train", True),
        ("layout", "valid", "train", True),
        ("layout", "valid", "valid", False),
        ("layout", "COPY_OF_VALID", "train", False),
    ],
)
def test_a_recording_leaves_its_place_only_if_its_column_says_so(rule: str, was: str, says: str, moves: bool) -> None:
    before = version(present("one", split=says), was)
    found = matched([before], [present("one", split=says)], rule)
    assert bool(found.removed) is moves
    assert [item.recording.key for item in found.new] == (["one"] if moves else [])


@pytest.mark.parametrize(("was", "other"), [("train", "valid"), ("valid", "train")])
def test_a_recording_that_now_has_the_content_of_the_other_split_leaves_its_place(was: str, other: str) -> None:
    there = version(present("there", "b"), other)
    found = matched([version(present("one", "a"), was), there], [present("one", "b"), present("there", "b")])
    assert [item.key for item in found.removed] == ["one"]
    same = matched([version(present("one", "a"), was)], [present("one", "b")])
    assert list(same.changed) == ["one"]
