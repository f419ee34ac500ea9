"""What became of the recordings of a generation: known, changed, removed, new; and only their owner moves them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.corpus.corpora import spec
from tests.corpus.growth.versions import Version, write_versions
from wavlm.corpus import measure
from wavlm.corpus.growth import match as matching
from wavlm.corpus.growth.match import Present
from wavlm.corpus.later import Measuring, follow_generation, write_later
from wavlm.corpus.layouts import Recording
from wavlm.corpus.listing import ListedFile, write_listing
from wavlm.corpus.manifest import read_manifest
from wavlm.corpus.measure import Roots
from wavlm.storage.texts import Hashes, hash_texts


def present(key: str, sha256: str = "a", path: str = "", **said: Any) -> Present:
    return Present(Recording(key, PurePosixPath(path or f"{key}.flac"), said.pop("speaker", "ann"), **said), sha256)


def version(item: Present, split: str = "train", **fields: Any) -> Version:
    said = item.recording
    region = {name: getattr(said, name) for name in ("start_s", "end_s", "channel")}
    return Version(
        said.key,
        str(said.path),
        speaker=said.speaker,
        split=split,
        sha256=item.sha256,
        row=item.row,
        **region,
        **fields,
    )


class Grown:
    """The second generation of a corpus, made in a folder without audio."""

    def __init__(self, folder: Path, before: list[Version], now: list[Present], **rule: Any) -> None:
        self.opened: list[str] = []
        history = write_versions(folder, before, **rule)
        of_paths = {item.recording.path: item.sha256 for item in now}
        listing = write_listing(
            folder / "listing", (item.recording for item in now), lambda path: ListedFile(of_paths[path])
        )
        (folder / "out").mkdir()
        measuring = Measuring(Roots(folder, None, PurePosixPath(), 0), folder / "out", 1, lambda *_: None)
        source = ({"type": "folder", "path": "/x"},)
        self.later = follow_generation(spec(sources=source), history, 2, listing, measuring)
        write_later(spec(sources=source), history, 2, self.later, listing, folder / "out")
        self.versions = pq.read_table(folder / "out/history.parquet").to_pylist()
        self.manifest = read_manifest(folder / "out")

    @property
    def splits(self) -> dict[str, str]:
        return {row["key"]: row["split"] for row in self.versions if row["until"] is None}

    def keys(self, **fields: Any) -> list[str]:
        """Keys of the versions that have these fields."""
        return [row["key"] for row in self.versions if all(row[name] == value for name, value in fields.items())]


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were opened, which have made-up lengths."""
    names: list[str] = []

    def read(name: PurePosixPath, known: ListedFile, roots: Roots, **_: object) -> Any:
        names.append(str(name))
        return measure._File(str(roots.shown / name), 7, str(known.sha256), 8_000, 80_000)

    monkeypatch.setattr(measure, "_read_file", read)
    return names


HELD = present("held", "held")


def test_each_recording_is_known_changed_removed_or_new(tmp_path: Path, opened: list[str]) -> None:
    one, two, three, four = (present(key, key) for key in ("one", "two", "three", "four"))
    now = [present("n", "n"), present("four", "other"), HELD, one, present("two", "two", text="x")]
    found = Grown(tmp_path, [version(item) for item in (one, two, three, four)] + [version(HELD, "valid")], now)
    assert found.keys(since=1, until=None) == ["one", "held"]
    assert found.keys(until=2) == ["two", "three", "four"]
    assert found.keys(since=2) == ["n", "four", "two"]  # in the order of the layout
    assert found.keys(since=2, generation=1) == ["four", "two"]
    assert opened == ["n.flac", "four.flac"]
    lengths = {row.key: (row.size_bytes, row.sample_rate_hz, row.num_samples, row.sha256) for row in found.manifest}
    assert lengths == {
        "n": (7, 8_000, 80_000, "n"), "four": (7, 8_000, 80_000, "other"), "held": (1, 16_000, 16_000, "held"),
        "one": (1, 16_000, 16_000, "one"), "two": (1, 16_000, 16_000, "two"),
    }  # fmt: skip
    assert [row.key for row in found.manifest] == ["n", "four", "held", "one", "two"]
    assert [row.generation for row in found.manifest] == [2, 1, 1, 1, 1]
    assert [row["row"] for row in found.versions[5:]] == [now[0].row, now[1].row, now[4].row]


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
def test_a_recording_leaves_its_place_only_if_its_column_says_so(
    tmp_path: Path, rule: Any, was: str, says: str, moves: bool
) -> None:
    item, held, other = present("one", "1", split=says), present("held", "h", split="valid"), present("train", "t")
    before = [version(item, was), version(held, "valid"), version(other)]
    found = Grown(tmp_path, before, [item, held, other], rule=rule)
    assert found.keys(key="one", until=2) == (["one"] if moves else [])
    assert found.keys(since=2, generation=2) == (["one"] if moves else [])


@pytest.mark.parametrize(("was", "other"), [("train", "valid"), ("valid", "train")])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_recording_that_now_has_the_content_of_the_other_split_leaves_its_place(
    tmp_path: Path, was: str, other: str, is_there: bool
) -> None:
    """Also the content of what was removed since: it was trained on, or held out."""
    rest, same = present("rest", "r"), present("same", "s")
    there = version(present("there", "b"), other, until=None if is_there else 1)
    before = [version(present("one", "a"), was), there, version(rest, was), version(same, other)]
    now = [present("one", "b"), rest, same, *([present("there", "b")] if is_there else [])]
    found = Grown(tmp_path, before, now)
    assert found.keys(key="one", generation=2, since=2) == ["one"]
    assert found.splits["one"] == ("COPY_OF_VALID" if was == "train" else "train")


def test_a_changed_recording_with_new_content_keeps_its_place(tmp_path: Path) -> None:
    before = [version(present("one", "a")), version(HELD, "valid")]
    found = Grown(tmp_path, before, [present("one", "b"), HELD])
    assert found.keys(since=2, generation=1) == ["one"]
    assert found.splits == {"one": "train", "held": "valid"}


def test_a_new_row_for_the_region_of_a_changed_one_is_left_out(tmp_path: Path) -> None:
    """The text of a recording was edited in the week in which a second row for the same file came in."""
    now = [present("one", text="edited"), present("two", path="one.flac"), present("three", path="one.flac"), HELD]
    found = Grown(tmp_path, [version(present("one")), version(HELD, "valid")], now)
    assert found.splits == {"one": "train", "two": "REGION_TWICE", "three": "REGION_TWICE", "held": "valid"}


def test_new_regions_that_share_audio_with_the_other_split_are_left_out(tmp_path: Path) -> None:
    long = present("long", "f", "long.flac", start_s=0.0, end_s=10.0)
    call = present("call", "g", "call.flac", start_s=0.0, end_s=10.0)
    before = [version(long, "valid"), version(call), version(HELD, "valid")]
    now = [
        HELD, long, call,
        present("across", "f", "long.flac", start_s=9.0, end_s=12.0),
        present("behind", "f", "long.flac", start_s=10.0, end_s=12.0),
        present("copy", "f", "other.flac", start_s=0.0, end_s=10.0),
        present("late", "g", "call.flac", start_s=9.0, end_s=12.0, split="valid"),
    ]  # fmt: skip
    found = Grown(tmp_path, before, now)
    assert {key: split for key, split in found.splits.items() if key in ("across", "behind", "copy", "late")} == {
        "across": "OVERLAPS_VALID", "behind": "train", "copy": "COPY_OF_VALID", "late": "OVERLAPS_TRAIN",
    }  # fmt: skip


@pytest.mark.parametrize("bits", [1, 3, 64])
def test_keys_that_have_one_number_are_told_apart_by_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bits: int
) -> None:
    def weak(column: pa.Array, salt: int = 0) -> Hashes:
        return hash_texts(column, salt) if salt else hash_texts(column) & np.uint64(2**bits - 1)

    monkeypatch.setattr(matching, "hash_texts", weak)
    items = [present(f"k{number}", str(number)) for number in range(40)]
    before = [version(item, "valid" if number % 2 else "train") for number, item in enumerate(items[:30])]
    found = Grown(tmp_path, before, items[10:])
    assert found.keys(until=2) == [f"k{number}" for number in range(10)]
    assert sorted(found.keys(since=2, generation=2)) == [f"k{number}" for number in range(30, 40)]
