"""Object stores for tests, each on a free port of this machine: moto (Python), and rclone (Go), in their own processes.

moto keeps to conditions of writes and to ranges. rclone ignores conditions without a word, and answers no ranges.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from tests.servers.servers import free_port
from tests.waiting import wait_until

KEY, SECRET = "canary-key", "canary-word"
MOTO = """
import sys
from werkzeug.serving import run_simple
from moto.server import DomainDispatcherApplication, create_backend_app
run_simple("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=True)
"""


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    """A store that all tests of a session share: each has a folder of its own in it."""
    with moto() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def rclone_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with rclone(tmp_path_factory.mktemp("rclone")) as endpoint:
        yield endpoint


@pytest.fixture(params=["moto", "rclone", "file"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty mirror in each kind of store."""
    if request.param == "file":
        (tmp_path / "mirror").mkdir()
        return f"file://{tmp_path}/mirror"
    endpoint: str = request.getfixturevalue(f"{request.param}_endpoint")
    for name, value in environment(endpoint).items():
        monkeypatch.setenv(name, value)
    return f"s3://bucket/{uuid4().hex}"


@pytest.fixture
def folder_address(tmp_path: Path) -> str:
    """The address of an empty mirror in a folder, where it does not matter which kind of store it is."""
    (tmp_path / "mirror").mkdir()
    return f"file://{tmp_path}/mirror"


@contextmanager
def moto() -> Iterator[str]:
    """The endpoint of a store with one bucket, `bucket`."""
    port = free_port()
    with _running([sys.executable, "-c", MOTO, str(port)], port):
        _request(f"http://127.0.0.1:{port}/bucket", "PUT")
        yield f"http://127.0.0.1:{port}"


@contextmanager
def rclone(folder: Path) -> Iterator[str]:
    """The same; its objects are files of a folder."""
    port = free_port()
    (folder / "bucket").mkdir(parents=True)
    program = Path(sys.executable).with_name("rclone")
    command = [str(program), "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}"]
    with _running([*command, "--config", os.devnull, "-q"], port):
        yield f"http://127.0.0.1:{port}"


def environment(endpoint: str) -> dict[str, str]:
    """What a client needs to know."""
    return {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: process.poll() is not None or _answers(port))
        assert process.poll() is None, "the server has ended"
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _answers(port: int) -> bool:
    try:
        _request(f"http://127.0.0.1:{port}/", "GET")
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _request(url: str, method: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(urllib.request.Request(url, method=method), timeout=10).close()  # noqa: S310 - our own address
