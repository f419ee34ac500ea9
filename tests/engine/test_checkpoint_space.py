"""A checkpoint is begun only if the disk has room for it and 16 MiB more; its bytes are on the disk before its name."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from tests.engine.test_checkpoint import save, training
from wavlm.engine import checkpoint
from wavlm.errors import CannotWriteError

Usage = namedtuple("Usage", "total used free")
SPARE_BYTES = 16 * 1024 * 1024


@pytest.mark.parametrize("missing", [0, 1])
def test_one_byte_too_little_is_too_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: int) -> None:
    made = training(steps=1)
    files = checkpoint.tensors_of(made)
    needed = sum(tensor.nbytes for tensors in files.values() for tensor in tensors.values()) + SPARE_BYTES
    assert len(files) == 2
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2 * needed, needed, needed - missing))
    if missing:
        with pytest.raises(CannotWriteError, match=f"DISK_FULL.*{needed} bytes are needed and {needed - 1} free"):
            save(tmp_path, made, 1)
        assert not list(tmp_path.iterdir())
    else:
        assert checkpoint.find_damage(save(tmp_path, made, 1)) == ""


def test_files_reach_the_disk_then_the_folder_gets_its_name_then_the_name_reaches_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = tmp_path / "step-000000001"
    events: list[tuple[int, bool]] = []
    fsync = os.fsync

    def watched(handle: int) -> None:
        fsync(handle)
        events.append((os.fstat(handle).st_ino, final.exists()))

    monkeypatch.setattr(os, "fsync", watched)
    assert save(tmp_path, training(steps=1), 1) == final
    before = {inode for inode, is_named in events if not is_named}
    assert {path.stat().st_ino for path in final.iterdir()} <= before
    assert events[-1] == (tmp_path.stat().st_ino, True)
