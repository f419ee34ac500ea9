"""Objects of a mirror in three kinds of stores: what comes back is what was sent, and a name that exists is whole."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.waiting import wait_until
from wavlm.errors import BadDataError, LockedError, ServiceMissingError, UsageError
from wavlm.storage.mirror.mirror import Mirror
from wavlm.storage.mirror.patience import Patience

LARGE = 20 << 20  # three pieces


@pytest.fixture
def mirror(address: str) -> Iterator[Mirror]:
    with Mirror(address) as opened:
        yield opened


def file_of(folder: Path, num_bytes: int) -> tuple[Path, str]:
    path = folder / f"{num_bytes}.bin"
    path.write_bytes(os.urandom(num_bytes))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("num_bytes", [0, 1000, LARGE])
def test_a_file_comes_back_as_it_was_sent(mirror: Mirror, tmp_path: Path, num_bytes: int) -> None:
    path, digest = file_of(tmp_path, num_bytes)
    assert mirror.size_of("objects/one") is None
    mirror.send(path, "objects/one", digest, num_bytes)
    assert mirror.size_of("objects/one") == num_bytes
    mirror.fetch("objects/one", tmp_path / "back", digest, num_bytes)
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    assert mirror.is_whole("objects/one", digest, num_bytes)
    assert not mirror.is_whole("objects/one", "0" * 64, num_bytes)
    assert not mirror.is_whole("objects/none", digest, num_bytes)


@pytest.mark.parametrize("num_bytes", [1000, LARGE])
def test_a_file_that_is_not_what_was_sealed_does_not_arrive(mirror: Mirror, tmp_path: Path, num_bytes: int) -> None:
    path, _ = file_of(tmp_path, num_bytes)
    with pytest.raises(BadDataError, match="CHECKSUM"):
        mirror.send(path, "objects/one", "0" * 64, num_bytes)
    assert mirror.size_of("objects/one") is None
    assert mirror.list("objects") == []


def test_an_object_with_other_bytes_does_not_become_a_file(mirror: Mirror, tmp_path: Path) -> None:
    path, digest = file_of(tmp_path, 1000)
    mirror.send(path, "objects/one", digest, 1000)
    with pytest.raises(BadDataError, match=f"MIRROR_DAMAGED.*{digest}.*{'0' * 64}.*objects/one"):
        mirror.fetch("objects/one", tmp_path / "back", "0" * 64, 1000)
    with pytest.raises(BadDataError, match=r"MIRROR_LACKS"):
        mirror.fetch("objects/none", tmp_path / "back", digest, 1000)
    assert sorted(item.name for item in tmp_path.iterdir() if item.is_file()) == ["1000.bin"]


def test_small_objects_are_read_and_listed(mirror: Mirror) -> None:
    assert mirror.read("a/one") is None
    assert mirror.list("a") == []
    assert mirror.create("a/one", b"first")
    mirror.replace("a/two", b"second")
    assert mirror.read("a/one") == b"first"
    assert mirror.list("a") == [("a/one", 5), ("a/two", 6)]


@pytest.mark.parametrize("address", ["moto", "file"], indirect=True)
def test_where_the_store_keeps_to_conditions_the_first_wins(mirror: Mirror) -> None:
    assert mirror.create("a/one", b"first")
    assert not mirror.create("a/one", b"second")
    assert mirror.read("a/one") == b"first"


@pytest.mark.parametrize("address", ["file"], indirect=True)  # moto lets two of many win now and then
def test_one_of_many_wins(mirror: Mirror) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda number: mirror.create("a/one", str(number).encode()), range(8)))
    assert sum(won) == 1
    assert mirror.read("a/one") == str(won.index(True)).encode()


def test_a_forked_process_asks_for_itself(mirror: Mirror) -> None:
    mirror.replace("a/one", b"first")
    child = os.fork()
    if not child:
        os._exit(0 if mirror.read("a/one") == b"first" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert mirror.read("a/one") == b"first"


def test_what_is_larger_than_it_may_be_is_not_read(mirror: Mirror) -> None:
    mirror.replace("a/one", bytes(2000))
    with pytest.raises(ServiceMissingError, match="ANSWER_TOO_LARGE"):
        mirror.read("a/one", 1999)
    assert mirror.read("a/one", 2000) == bytes(2000)


@pytest.mark.parametrize("address", ["moto", "rclone"], indirect=True)
def test_a_bucket_that_is_not_there_is_named(address: str, tmp_path: Path) -> None:
    path, digest = file_of(tmp_path, 10)
    with Mirror("s3://no-such-bucket/x") as opened:
        with pytest.raises(UsageError, match=r"MIRROR_MISSING.*no-such-bucket"):
            opened.read("a")
        with pytest.raises(UsageError, match=r"MIRROR_MISSING.*no-such-bucket"):
            opened.send(path, "a", digest, 10)


@pytest.mark.parametrize("address", ["rclone"], indirect=True)
def test_wrong_credentials_are_refused_and_not_repeated(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-other")
    with Mirror(address) as opened, pytest.raises(LockedError, match=r"MIRROR_DENIED.*403") as refused:
        opened.read("a")
    assert "canary" not in str(refused.value)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")  # not of this machine, should it be in a cloud
    monkeypatch.setenv("HOME", "/nonexistent")
    quick = Patience(attempts=1, retries=0, base_seconds=2.0)
    with Mirror(address, quick) as opened, pytest.raises((LockedError, ServiceMissingError)) as refused:
        opened.read("a")
    assert refused.value.code == "MIRROR_DENIED"


@pytest.mark.parametrize("address", ["rclone"], indirect=True)
def test_credentials_come_from_a_profile(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "credentials"
    key, secret = (os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    file.write_text(f"[mine]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with Mirror(address) as opened:
        opened.replace("a/one", b"first")
        assert opened.read("a/one") == b"first"
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with Mirror(address) as opened, pytest.raises(UsageError, match=r"MIRROR_DENIED.*ProfileNotFound"):
        opened.read("a/one")


STARTED = """
import os, signal, sys
from wavlm.storage.mirror.mirror import Mirror
opened = Mirror(sys.argv[1])
opened.list("a")
print(opened._courier._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_courier_ends_with_who_started_it_also_by_a_kill(folder_address: str) -> None:
    done = subprocess.run([sys.executable, "-c", STARTED, folder_address], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    wait_until(lambda: not Path(f"/proc/{int(done.stdout)}").exists())


ASKING = """
import os, signal, sys, threading
from wavlm.storage.mirror.mirror import Mirror
opened = Mirror(sys.argv[1])
opened.list("a")
courier = opened._courier
threading.Thread(target=opened.read, args=("never",), daemon=True).start()
while not courier._waiting:
    pass
with courier._lock:  # the request is in the pipe
    print(courier._process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_courier_ends_at_once_also_in_the_middle_of_a_transfer(folder_address: str) -> None:
    os.mkfifo(Path(folder_address.removeprefix("file://")) / "never")  # whoever reads it waits for a writer
    done = subprocess.run([sys.executable, "-c", ASKING, folder_address], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    wait_until(lambda: not Path(f"/proc/{int(done.stdout)}").exists())
