"""Columns in mapped files: built once, shared, complete or absent, and made again if they were changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from wavlm.storage.columns import ColumnWriter, Texts, open_columns

NUMBERS = np.array([5, 0, 70_000, 3])


def build(writer: ColumnWriter) -> Mapping[str, str]:
    for part in (NUMBERS[:1], NUMBERS[1:]):
        writer.append("numbers", part, "<u4")
    writer.append("none", np.empty(0), "<u2")
    return {"made": "by a test"}


def refuse(_: ColumnWriter) -> Mapping[str, str]:
    raise AssertionError("they are there")


def test_columns_are_built_once_and_mapped_from_then_on(tmp_path: Path) -> None:
    for made_by in (build, refuse):
        found = open_columns(tmp_path / "cache" / "x", made_by)
        assert found["numbers"].tolist() == NUMBERS.tolist()
        assert isinstance(found["numbers"].base, np.memmap)
        assert not found["numbers"].flags.writeable
        assert found["none"].tolist() == []
        assert found.about == {"made": "by a test"}


@pytest.mark.parametrize("name", ["numbers.bin", "columns.json"])
@pytest.mark.parametrize("where", [0, 3, -2])
def test_one_changed_byte_makes_them_anew(tmp_path: Path, name: str, where: int) -> None:
    path = open_columns(tmp_path / "x", build).folder / name
    blob = bytearray(path.read_bytes())
    blob[where] ^= 1
    path.write_bytes(blob)
    assert open_columns(tmp_path / "x", build)["numbers"].tolist() == NUMBERS.tolist()
    path.write_bytes(blob)
    with pytest.raises(AssertionError, match="they are there"):
        open_columns(tmp_path / "x", refuse)


def test_who_need_not_check_sees_a_cut_file_all_the_same(tmp_path: Path) -> None:
    path = open_columns(tmp_path / "x", build).folder / "numbers.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(AssertionError, match="they are there"):
        open_columns(tmp_path / "x", refuse, check=False)


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(writer: ColumnWriter) -> Mapping[str, str]:
        build(writer)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        open_columns(tmp_path / "x", fail)
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_number_that_a_column_cannot_hold_is_refused(tmp_path: Path) -> None:
    def too_large(writer: ColumnWriter) -> Mapping[str, str]:
        writer.append("numbers", NUMBERS, "<u2")
        return {}

    with pytest.raises(ValueError, match="numbers is no <u2"):
        open_columns(tmp_path / "x", too_large)


def test_another_machine_that_was_faster_is_no_fault(tmp_path: Path) -> None:
    """Where locks do nothing, both build; the folder that is there stays."""

    def late(writer: ColumnWriter) -> Mapping[str, str]:
        open_columns(tmp_path / "other", build).folder.rename(tmp_path / "x")
        return build(writer)

    assert open_columns(tmp_path / "x", late)["numbers"].tolist() == NUMBERS.tolist()
    assert not list(tmp_path.glob("*.partial"))


def test_texts_are_read_one_by_one() -> None:
    names = ["a", "", "žluťoučký", "b"]
    blob = [name.encode() for name in names]
    texts = Texts(np.frombuffer(b"".join(blob), np.uint8), np.cumsum([len(item) for item in blob]).astype("<u8"))
    assert list(texts) == names
    assert texts[np.array([2, 0])] == ("žluťoučký", "a")
    assert texts[np.int64(2)] == "žluťoučký"
    assert texts[np.array([], np.int64)] == ()
