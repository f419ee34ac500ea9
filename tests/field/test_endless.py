"""Servers that never come to an end. Reported: at one byte a second `wavlm sync` still ran after 200 s; an answer
without an end took 2 GB of memory in 30 s. Each limit held between two bytes only.
"""

from __future__ import annotations

import http.server
import os
import stat
import threading
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import (
    PREFECT_API_REQUEST_TIMEOUT,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_CLIENT_RETRY_JITTER_FACTOR,
    PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED,
    temporary_settings,
)

from tasks.orchestration import limits
from tasks.orchestration.client import bound_engine
from tasks.orchestration.server import answers
from tasks.registry import bounds, connection, current
from tests.unending_server import BEHAVIOURS, unending
from wavlm.corpus.download import RetryPolicy, apt, fetch, transfer
from wavlm.corpus.download.apt import fetch_apt
from wavlm.errors import ServiceMissingError
from wavlm.pipeline.store import Store
from wavlm.specs import AptSource, HttpsSource

EVERY = sorted(BEHAVIOURS)


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", EVERY)
def test_a_registry_that_never_ends_is_down(behaviour: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "SECONDS", 0.5)
    monkeypatch.setattr(bounds, "SLOWEST_BYTES_PER_SECOND", 1e6)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with unending(behaviour) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(ServiceMissingError, match=rf"REGISTRY_DOWN: .*; at {address}; "):
            connection.connect(Store(tmp_path / "store"))


@pytest.mark.parametrize("behaviour", EVERY)
def test_a_summary_does_not_wait_for_such_a_registry(
    behaviour: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(current, "ANSWER_SECONDS", 0.5)
    with unending(behaviour) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        assert current.read_current(Store(tmp_path / "store"), ["wavlm"]) is None


@pytest.mark.parametrize("behaviour", EVERY)
def test_a_prefect_server_that_never_ends_does_not_answer(behaviour: str) -> None:
    with unending(behaviour) as address:
        assert not answers(f"{address}/api", 0.5)


@pytest.mark.parametrize("behaviour", [name for name in EVERY if name not in ("half", "redirect")])
def test_work_goes_on_without_such_a_prefect_server(
    behaviour: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """`half` and `redirect` end by themselves."""
    seconds = 60 if "packed" in behaviour else 0.5  # a packed answer is refused before its time is over
    with (
        unending(behaviour) as address,
        temporary_settings(
            {PREFECT_API_URL: f"{address}/api", PREFECT_API_REQUEST_TIMEOUT: seconds, PREFECT_CLIENT_MAX_RETRIES: 1}
        ),
    ):
        assert not limits._is_limited(limits.GPU)
    assert "the limit gpu is not known: " in caplog.text
    assert ("an answer that is packed" in caplog.text) == ("packed" in behaviour)


def of_the_engine(address: str, seconds: float) -> AbstractContextManager[object]:
    """Settings for what Prefect's engine asks a server at this address."""
    return temporary_settings(
        {
            PREFECT_API_URL: f"{address}/api", PREFECT_API_REQUEST_TIMEOUT: seconds, PREFECT_CLIENT_MAX_RETRIES: 1,
            PREFECT_CLIENT_RETRY_JITTER_FACTOR: 0, PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False,
        }
    )  # fmt: skip


@pytest.mark.parametrize("behaviour", ["drip", "drip_head", "endless"])
def test_what_prefects_engine_asks_such_a_server_ends(behaviour: str) -> None:
    with (
        unending(behaviour) as address,
        of_the_engine(address, 0.5),
        bound_engine(),
        get_client(sync_client=True) as client,
        pytest.raises((httpx.HTTPError, OSError)),
    ):
        client.request("GET", "/flows")


def test_what_prefects_engine_asks_is_asked_again_after_a_server_hung() -> None:
    """A run outlives a server that hangs for a while, as it outlives one that is started again."""
    num_asked, ended = [0], threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            num_asked[0] += 1
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            if num_asked[0] == 1:
                ended.wait(60)
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    with of_the_engine(address, 0.5), bound_engine(), get_client(sync_client=True) as client:
        assert client.request("GET", "/flows").json() == {}
    ended.set()
    server.shutdown()
    server.server_close()
    assert num_asked == [2]


def test_a_server_that_is_away_when_a_run_begins_stops_no_run() -> None:
    """It is started again: the engine, which has met it before, asks again; a client of ours would not."""
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}), bound_engine():
        pass


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        ("drip", "DL_STALLED"),
        ("drip_head", "DL_STALLED"),
        ("hang", "DL_STALLED"),
        ("half", "DL_"),
        ("redirect", "DL_HTTP"),
        ("endless", "DL_SIZE"),
    ],
)
def test_a_download_that_never_ends_ends(
    behaviour: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where neither the spec nor the server says how large it is."""
    monkeypatch.setattr(transfer, "UNKNOWN_BYTES", 1 << 20)
    policy = RetryPolicy(attempts=1, read_seconds=0.5, slow_seconds=0.5, backoff_seconds=0.01)
    with unending(behaviour) as address:
        source = HttpsSource(type="https", urls=(f"{address}/a.tar",), sha256="0" * 64, format="tar")
        with pytest.raises(Exception, match=rf"^{code}"):
            fetch(source, tmp_path, lambda done, total: None, policy)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 4 << 20


def test_package_lists_that_never_come_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """apt-get has a time limit for a silent server, and none for one that sends a byte a second."""
    for name in ("apt-get", "apt-cache"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\nfor last; do :; done\n[ $last != update ] || exec sleep 1000\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(apt, "UPDATE_SECONDS", 0.5)
    source = AptSource(type="apt", package="a-package", version="1.0", sha256="0" * 64, size_bytes=1000)
    with pytest.raises(ServiceMissingError, match=r"APT_FAILED: apt-get update did not end in 0\.5 s"):
        fetch_apt(source, tmp_path / "downloads", lambda done, total: None)
