"""The cache of a mirror: bounded, verified, one fetch for many who ask, and what was opened last stays."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from wavlm.errors import BadDataError, UsageError
from wavlm.storage import cache as cache_module
from wavlm.storage.cache import RESERVED, ObjectCache, _locked, object_key

SIZE = 1000


@pytest.fixture
def objects(tmp_path: Path) -> tuple[str, list[str]]:
    """A mirror in a folder with ten objects of 1,000 bytes; its address, and their digests."""
    (tmp_path / "mirror").mkdir()
    digests = []
    for number in range(10):
        blob = bytes([number]) * SIZE
        digests.append(hashlib.sha256(blob).hexdigest())
        path = tmp_path / "mirror" / object_key(digests[-1])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(blob)
    return f"file://{tmp_path}/mirror", digests


def read(cache: ObjectCache, digest: str) -> bytes:
    handle = cache.open(digest, SIZE)
    try:
        return os.pread(handle, 2 * SIZE, 0)
    finally:
        os.close(handle)


def held(cache: ObjectCache) -> set[str]:
    return {path.name for path in cache.folder.iterdir() if len(path.name) >= 64}


def test_what_is_opened_is_fetched_once_and_kept(tmp_path: Path, objects: tuple[str, list[str]]) -> None:
    address, digests = objects
    cache = ObjectCache(tmp_path / "cache", 5 * SIZE, address)
    assert read(cache, digests[3]) == bytes([3]) * SIZE
    (tmp_path / "mirror" / object_key(digests[3])).unlink()
    assert read(cache, digests[3]) == bytes([3]) * SIZE


def test_the_cache_stays_within_its_bound_and_drops_what_was_opened_longest_ago(
    tmp_path: Path, objects: tuple[str, list[str]]
) -> None:
    address, digests = objects
    cache = ObjectCache(tmp_path / "cache", 3 * SIZE, address)
    for number, digest in enumerate(digests[:3]):
        read(cache, digest)
        os.utime(cache.folder / digest, (number, number))
    read(cache, digests[0])
    read(cache, digests[7])
    assert held(cache) == {digests[0], digests[2], digests[7]}


def test_who_has_an_object_open_goes_on_when_it_was_pushed_out(tmp_path: Path, objects: tuple[str, list[str]]) -> None:
    address, digests = objects
    cache = ObjectCache(tmp_path / "cache", SIZE, address)
    handle = cache.open(digests[0], SIZE)
    for digest in digests[1:]:
        read(cache, digest)
    assert held(cache) == {digests[9]}
    assert os.pread(handle, SIZE, 0) == bytes(SIZE)
    os.close(handle)
    assert read(cache, digests[0]) == bytes(SIZE)


def test_what_is_larger_than_the_cache_is_refused(tmp_path: Path, objects: tuple[str, list[str]]) -> None:
    address, digests = objects
    with pytest.raises(UsageError, match=r"CACHE_TOO_SMALL.*1000.*999"):
        ObjectCache(tmp_path / "cache", SIZE - 1, address).open(digests[0], SIZE)


def test_a_damaged_object_never_enters(tmp_path: Path, objects: tuple[str, list[str]]) -> None:
    address, digests = objects
    (tmp_path / "mirror" / object_key(digests[0])).write_bytes(b"x" * SIZE)
    cache = ObjectCache(tmp_path / "cache", 5 * SIZE, address)
    with pytest.raises(BadDataError, match="MIRROR_DAMAGED"):
        cache.open(digests[0], SIZE)
    assert held(cache) == set()


def test_what_a_killed_fetch_left_takes_no_room_for_ever(tmp_path: Path, objects: tuple[str, list[str]]) -> None:
    address, digests = objects
    cache = ObjectCache(tmp_path / "cache", SIZE, address)
    cache.folder.mkdir()
    for digest in digests:  # in all slots
        with (cache.folder / f"{digest}.reserved").open("wb") as file:
            file.truncate(SIZE)
    (cache.folder / f".{digests[0]}.abc.partial").write_bytes(b"half")
    read(cache, digests[0])
    assert held(cache) == {digests[0]}
    assert not list(cache.folder.glob("*.partial"))


def test_who_waits_for_room_that_others_have_reserved_pushes_nothing_out(
    tmp_path: Path, objects: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, digests = objects
    cache = ObjectCache(tmp_path / "cache", 4 * SIZE, address)
    read(cache, digests[0])
    other = next(name for name in digests[1:9] if cache._slot(name) != cache._slot(digests[9]))
    reserved = cache.folder / f"{other}{RESERVED}"
    reserved.write_bytes(bytes(4 * SIZE))
    found: list[set[str]] = []

    def look(_seconds: float) -> None:
        found.append(held(cache))
        reserved.write_bytes(bytes(2 * SIZE))  # now there is room beside what is here

    monkeypatch.setattr(cache_module, "time", SimpleNamespace(sleep=look))
    with _locked(cache._slot(other)):
        assert cache.fetch(digests[9], SIZE)
    assert found == [{digests[0], reserved.name}]
    assert held(cache) == {digests[0], digests[9], reserved.name}


READER = """
import os, sys
from pathlib import Path
from wavlm.storage.cache import ROOM_LOCK, ObjectCache, _locked
folder, address, *digests = sys.argv[1:]
cache, fetched = ObjectCache(Path(folder), 2500, address), 0
for digest in digests:
    fetched += cache.fetch(digest, 1000)
    handle = cache.open(digest, 1000)
    assert len(set(os.pread(handle, 1000, 0))) == 1
    os.close(handle)
    with _locked(Path(folder) / ROOM_LOCK):  # nothing goes while it is counted
        held = sum(path.stat().st_size for path in Path(folder).iterdir() if len(path.name) == 64)
    assert held <= 2500, held
print(fetched)
"""


def test_many_processes_share_a_cache_that_is_too_small_for_all(tmp_path: Path, objects: tuple[str, list[str]]) -> None:
    address, digests = objects
    command = [sys.executable, "-c", READER, str(tmp_path / "cache"), address]
    running = [
        subprocess.Popen([*command, *order], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for order in (digests, digests[::-1], digests[5:] + digests[:5])
    ]
    outputs = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], outputs


def test_many_processes_that_want_the_same_fetch_it_once(tmp_path: Path, objects: tuple[str, list[str]]) -> None:
    address, digests = objects
    command = [sys.executable, "-c", READER, str(tmp_path / "cache"), address, digests[0], digests[1]]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    assert sum(int(process.communicate()[0]) for process in running) == 2
