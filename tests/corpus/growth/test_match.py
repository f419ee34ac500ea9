"""What became of the recordings of a generation: known, changed, removed, new; and only their owner moves them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import pytest

from tests.corpus.corpora import spec
from wavlm.corpus.growth.follow import follow
from wavlm.corpus.growth.history import History, Version
from wavlm.corpus.growth.match import Match, Present, match
from wavlm.corpus.layouts import Recording
from wavlm.corpus.manifest import ManifestRow


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


def test_a_new_row_for_the_region_of_a_changed_one_is_left_out() -> None:
    """The text of a recording was edited in the week in which a second row for the same file came in."""
    one = present("one", "a")
    history = History((version(one), version(present("z", "z"), "valid")), "speakers", 0.1)
    twin = Present(Recording("two", PurePosixPath("one.flac"), "ann", None), "a")
    now = [present("one", "a", text="edited"), twin, present("z", "z")]

    def measure(chosen: Sequence[Recording]) -> list[ManifestRow]:
        audio = {"size_bytes": 1, "sha256": "a", "sample_rate_hz": 16000, "num_samples": 16000}
        return [
            ManifestRow(item.key, str(item.path), item.speaker, "train", item.text, None, **audio)  # type: ignore[arg-type]
            for item in chosen
        ]

    grown = follow(spec(sources=({"type": "folder", "path": "/x"},)), history, 2, now, measure)
    assert {item.key: item.split for item in grown.at(2)} == {"one": "train", "two": "REGION_TWICE", "z": "valid"}
