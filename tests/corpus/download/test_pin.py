"""A pin is the whole digest, and bytes are on the disk before they have the name of the pin."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from wavlm.corpus.download.pin import Pin, publish
from wavlm.errors import BadDataError


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
@pytest.mark.parametrize("place", [0, 7, 8, -1])
def test_one_other_digit_of_the_digest_is_refused_wherever_it_is(tmp_path: Path, algorithm: str, place: int) -> None:
    path = tmp_path / "archive"
    path.write_bytes(b"words")
    digits = list(hashlib.new(algorithm, b"words").hexdigest())
    Pin(algorithm, "".join(digits), 5, "tar").check(path)  # type: ignore[arg-type]
    digits[place] = "0" if digits[place] != "0" else "1"
    with pytest.raises(BadDataError, match="DL_HASH"):
        Pin(algorithm, "".join(digits), 5, "tar").check(path)  # type: ignore[arg-type]


def test_an_archive_reaches_the_disk_then_its_name_then_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, target = tmp_path / "a.part", tmp_path / "a"
    part.write_bytes(b"words")
    inode, events = part.stat().st_ino, []
    fsync = os.fsync

    def watched(handle: int) -> None:
        fsync(handle)
        events.append((os.fstat(handle).st_ino, target.exists()))

    monkeypatch.setattr(os, "fsync", watched)
    publish(part, target)
    assert events == [(inode, False), (tmp_path.stat().st_ino, True)]
