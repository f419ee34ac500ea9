"""A store that misbehaves: the right bytes come, or a refusal, in bounded time and memory, after few attempts."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.object_stores import environment, folder_address
from tests.storage.mirror.bad_store import BadStore, serving
from wavlm.errors import BadDataError, CodedError, ServiceMissingError
from wavlm.storage.mirror.mirror import Mirror
from wavlm.storage.mirror.patience import Patience

__all__ = ["folder_address"]
SIZE = 300_000
QUICK = Patience(attempts=2, pause_seconds=0.01, retries=2, silent_seconds=1.0, base_seconds=1.0, memory_bytes=1 << 30)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[BadStore]:
    with serving(os.urandom(SIZE)) as server:
        for name, value in environment(server.endpoint).items():
            monkeypatch.setenv(name, value)
        yield server


def fetch(behaviour: str, store: BadStore, path: Path) -> None:
    digest = hashlib.sha256(store.content).hexdigest()
    with Mirror(f"s3://{behaviour}", QUICK) as mirror:
        mirror.fetch("objects/one", path, digest, SIZE)


@pytest.mark.parametrize("behaviour", ["good", "cut-twice", "busy-twice", "other-bytes-once", "wrong-range", "slow"])
def test_what_passes_is_overcome(behaviour: str, store: BadStore, tmp_path: Path) -> None:
    fetch(behaviour, store, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == store.content


def test_a_body_that_was_cut_goes_on_where_it_ended(store: BadStore, tmp_path: Path) -> None:
    fetch("cut-twice", store, tmp_path / "back")
    assert [asked for _, _, asked in store.seen] == [
        None,
        f"bytes={SIZE // 3}-{SIZE - 1}",
        f"bytes={2 * (SIZE // 3)}-{SIZE - 1}",
    ]


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        ("cut-always", "MIRROR_LOST"),
        ("wrong-bytes-of-range", "MIRROR_DAMAGED"),
        ("busy", "MIRROR_LOST"),
        ("denied", "MIRROR_DENIED"),
        ("other-bytes", "MIRROR_DAMAGED"),
        ("too-long", "ANSWER_TOO_LARGE"),
        ("too-short", "MIRROR_DAMAGED"),
        ("page", "MIRROR_DAMAGED"),
        ("silent", "MIRROR_STALLED"),
        pytest.param("trickle", "MIRROR_STALLED", marks=pytest.mark.slow),
        pytest.param("trickled-head", "MIRROR_STALLED", marks=pytest.mark.slow),
        ("endless", "MIRROR_LOST"),
        pytest.param("endless-error", "MIRROR_LOST", marks=pytest.mark.slow),
    ],
)
def test_what_does_not_pass_is_refused_and_leaves_nothing(
    behaviour: str, code: str, store: BadStore, tmp_path: Path
) -> None:
    begun = time.monotonic()
    with pytest.raises(CodedError, match=rf"s3://{behaviour}") as refused:
        fetch(behaviour, store, tmp_path / "back")
    assert refused.value.code == code
    assert "canary" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []
    assert len(store.seen) <= 2 * QUICK.attempts * (1 + QUICK.retries)
    # Each attempt has its limit, each is made twice, and a busy machine may add to it.
    assert time.monotonic() - begun < 120


@pytest.mark.full
@pytest.mark.parametrize("behaviour", ["busy", "trickled-head", "endless-error", "endless"])
def test_what_is_asked_of_a_bad_store_ends(behaviour: str, store: BadStore) -> None:
    with Mirror(f"s3://{behaviour}", QUICK) as mirror:
        for ask in (lambda: mirror.read("a"), lambda: mirror.list("a")):
            with pytest.raises(ServiceMissingError, match=r"MIRROR_LOST|MIRROR_STALLED"):
                ask()


def test_a_store_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment("http://127.0.0.1:9").items():
        monkeypatch.setenv(name, value)
    with (
        Mirror("s3://bucket/a", QUICK) as mirror,
        pytest.raises(ServiceMissingError, match=r"MIRROR_LOST.*s3://bucket/a"),
    ):
        mirror.read("b")


def test_an_attempt_that_the_client_does_not_end_is_ended(
    folder_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shared disk that hangs: no limit of a network client helps."""
    folder = tmp_path / "mirror" / "objects"
    folder.mkdir()
    os.mkfifo(folder / "one")  # to open it waits for ever
    monkeypatch.setattr("wavlm.storage.mirror.mirror.SPARE_SECONDS", 0.5)
    with Mirror(folder_address, Patience(attempts=1, base_seconds=0.5)) as mirror:
        with pytest.raises((ServiceMissingError, BadDataError)) as refused:
            mirror.fetch("objects/one", tmp_path / "back", "0" * 64, 10)
        assert refused.value.code == "MIRROR_STALLED"
        assert mirror.list("artifacts") == []
