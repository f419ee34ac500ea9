"""Taking a file over: what is at the target is replaced, and no later write changes the source."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wavlm.storage import links
from wavlm.storage.files import write_text
from wavlm.storage.links import take_over


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("ways", [("clone", "link"), ("link",), ()], ids=["any", "link", "copy"])
def test_a_file_is_taken_over_by_every_way(
    ways: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(95, "Operation not supported")

    if "clone" not in ways:
        monkeypatch.setattr(links.fcntl, "ioctl", refuse)
    if "link" not in ways:
        monkeypatch.setattr(links.os, "link", refuse)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("speech")
    target.write_text("what an attempt that was killed has left")
    for _ in range(2):  # the second time both may be names of one file
        take_over(source, target)
        assert target.read_text() == "speech"
    assert names(tmp_path) == ["source", "target"]
    write_text(target, "another")  # as all writers of this project do it
    assert source.read_text() == "speech"


def test_another_machine_with_a_process_of_the_same_number_may_take_over_the_same_file(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("speech")
    theirs = tmp_path / f".target.{os.getpid()}.partial"
    theirs.write_text("half of it")
    take_over(source, target)
    assert target.read_text() == "speech"
    assert theirs.read_text() == "half of it"


def test_what_cannot_be_taken_over_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        take_over(tmp_path / "missing", tmp_path / "target")
    assert names(tmp_path) == []
