"""A file is on the disk before it has its name, and its name before anybody is told."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wavlm.errors import BadDataError
from wavlm.errors.boundary import code_errors
from wavlm.storage import files
from wavlm.storage.files import atomic_path, open_atomic, write_json, write_text


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """What is asked of the disk, in order: the inode of each fsync, source and target of each rename."""
    found: list[tuple[str, object]] = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(handle: int) -> None:
        fsync(handle)
        found.append(("fsync", os.fstat(handle).st_ino))

    def watched_replace(source: Any, target: Any, **options: Any) -> None:
        inode = Path(source).stat().st_ino
        replace(source, target, **options)
        found.append(("rename", (inode, Path(target).name)))

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    return found


def with_open(path: Path) -> None:
    with open_atomic(path) as file:
        file.write(b"words")


def with_path(path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"words")


@pytest.mark.parametrize(
    "write",
    [with_open, with_path, lambda path: write_text(path, "words"), lambda path: write_json(path, ["words"])],
    ids=["open_atomic", "atomic_path", "write_text", "write_json"],
)
def test_content_then_name_then_folder_reach_the_disk(
    write: Callable[[Path], None], tmp_path: Path, events: list[tuple[str, object]]
) -> None:
    """A power cut between two of these steps leaves the old file, or the new one, and never an empty one."""
    path = tmp_path / "name"
    write(path)
    inode, folder = path.stat().st_ino, tmp_path.stat().st_ino
    assert events == [("fsync", inode), ("rename", (inode, "name")), ("fsync", folder)]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "name"
    path.write_bytes(b"old")
    with pytest.raises(TypeError), open_atomic(path) as file:
        file.writelines([b"half", 1])  # type: ignore[list-item]
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["name"]


def test_an_error_of_the_disk_is_raised_as_it_is_and_gets_its_code_once(tmp_path: Path) -> None:
    """It was raised from itself; whoever followed its causes then never came to an end."""
    path = tmp_path / "file"
    with pytest.raises(BadDataError, match="DISK_ERROR") as raised, code_errors(tmp_path), open_atomic(path):
        raise OSError(errno.EIO, "input/output error")
    cause = raised.value.__cause__
    assert isinstance(cause, OSError)
    assert cause.__cause__ is None
    assert not path.exists()


def test_a_noted_file_that_was_changed_or_lost_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"12345678")
    files.note_whole(path)
    files.require_whole(path, "fit it again")
    path.write_bytes(b"12345679")
    with pytest.raises(BadDataError, match=r"CHECKSUM: .*weights; fit it again"):
        files.require_whole(path, "fit it again")
    files.remove_noted(path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(BadDataError, match="CHECKSUM"):
        files.require_whole(path, "fit it again")


def test_json_has_sorted_names_and_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"b": 1, "a": [2]})
    assert (tmp_path / "a").read_text() == '{\n  "a": [\n    2\n  ],\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "b", float("nan"))
    assert not (tmp_path / "b").exists()


def test_files_can_be_read_by_others(tmp_path: Path) -> None:
    """Unlike a temporary file of Python: stores are shared by a group of people."""
    write_text(tmp_path / "name", "words")
    assert (tmp_path / "name").stat().st_mode & 0o777 == 0o644


def test_one_file_system_is_synced_and_what_it_could_not_write_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sync", lambda: pytest.fail("other disks of the machine were synced"))
    files.sync_disk(tmp_path)
    with pytest.raises(FileNotFoundError):
        files.sync_disk(tmp_path / "none")

    class Failing:
        @staticmethod
        def syncfs(_handle: int) -> int:
            ctypes.set_errno(errno.EIO)
            return -1

    monkeypatch.setattr(files.ctypes, "CDLL", lambda *_, **__: Failing())
    with pytest.raises(OSError, match="Input/output error"):
        files.sync_disk(tmp_path)
