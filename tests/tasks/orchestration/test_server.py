"""The temporary Prefect server: it answers, comes back, and goes."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest

from tasks.orchestration.server import OwnServer, answers
from tests.sockets import Sockets
from tests.waiting import wait_until
from wavlm.errors import CannotWriteError, ServiceMissingError

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


@pytest.mark.full
def test_a_server_that_is_killed_comes_back_at_the_same_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tasks.py").write_text("raise RuntimeError('a task runner of somebody else')\n")
    monkeypatch.chdir(tmp_path)  # as `wavlm run` may be started where such a file lies
    server = OwnServer(tmp_path)
    try:
        server.wait()
        assert server.url.startswith("http://127.0.0.1:")
        sockets = Sockets()
        sockets.look(os.getpid())
        assert sockets.loopback
        assert not sockets.elsewhere
        first = server.pid
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: server.pid != first)
        assert answers(server.url, 60)
    finally:
        server.stop()
    assert not answers(server.url, 1)
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_a_server_that_finds_no_room_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    (tmp_path / "uvicorn.py").write_text("raise OSError(28, 'No space left on device')\n")
    server = OwnServer(tmp_path / "home")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # as a full disk: the probe does not fit
    try:
        with pytest.raises(CannotWriteError, match="DISK_FULL"):
            server.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        server.stop()


def test_a_server_that_cannot_start_is_a_missing_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    (tmp_path / "uvicorn.py").write_text("raise ImportError('broken installation')\n")
    server = OwnServer(tmp_path / "home")
    with pytest.raises(ServiceMissingError, match=r"PREFECT_DOWN.*server\.log"):
        server.wait()
    assert "broken installation" in server.log.read_text()
