"""Nothing that a whole run starts listens outside the machine: stages, their workers, ranks, Prefect, MLflow, pages."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.sockets import Sockets, watch_sockets
from tests.waiting import LIMIT_SECONDS, wait_until
from wavlm.storage.files import read_json

ROOT = Path(__file__).parents[2]
RANKS = 2


def start(environment: Mapping[str, str], log: Path, *arguments: object) -> subprocess.Popen[str]:
    with log.open("w") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *map(str, arguments)],
            cwd=ROOT,
            env=dict(environment),
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        )


def watch_pages(store: Path, environment: Mapping[str, str], log: Path) -> tuple[Sockets, dict[str, str]]:
    """What `wavlm ui` listens on while its pages are read, and their addresses."""
    process = start(environment, log, "ui", "--store", store)
    try:
        with watch_sockets(process.pid) as sockets:
            assert process.stdout is not None
            pages = dict(process.stdout.readline().split() for _ in range(2))
            for url in pages.values():
                with urllib.request.urlopen(url, timeout=LIMIT_SECONDS) as response:  # noqa: S310 - our own servers
                    assert response.status == 200
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT_SECONDS)
    return sockets, pages


@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM"])
def test_one_that_listens_elsewhere_is_seen_two_processes_below(kind: str) -> None:
    child = f"import socket; s = socket.socket(type=socket.{kind}); s.bind(('0.0.0.0', 0)); "
    child += "s.listen() if s.type == socket.SOCK_STREAM else None; print(s.getsockname()[1], flush=True); input()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    process = subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port = int(process.stdout.readline())
    with watch_sockets(process.pid) as sockets:
        wait_until(lambda: sockets.elsewhere)
    process.communicate("\n", timeout=LIMIT_SECONDS)
    assert sockets.elsewhere.keys() == {("0.0.0.0", port)}  # noqa: S104 - what it looks for
    assert not sockets.loopback


@pytest.mark.full
def test_a_run_and_its_pages_listen_on_loopback_alone(
    two_ranks: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    store, log = tmp_path / "store", tmp_path / "run.log"
    options = ("--workers", 2, "--processes", RANKS, "--threads", 1, "--snapshot-every", 5)
    process = start(environment, log, "run", two_ranks, "--store", store, *options)
    with watch_sockets(process.pid) as sockets:
        process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 0, log.read_text()
    made = {path.parent.parent.name for path in store.glob("*/*/artifact.json")}
    assert made == {"corpus", "shards", "codebook", "labels", "mixtures", "pretrain", "export", "register", "scores"}
    (training,) = store.glob("pretrain/*/training.json")
    assert read_json(training)["processes"] == RANKS
    assert len(sockets.loopback) >= 2 + RANKS, "Prefect's server, the store of rank 0, a socket of gloo per rank"
    assert sockets.elsewhere == {}

    sockets, pages = watch_pages(store, environment, log)
    assert pages.keys() == {"MLflow", "Prefect"}, log.read_text()
    assert {("127.0.0.1", urlsplit(url).port) for url in pages.values()} <= sockets.loopback
    assert sockets.elsewhere == {}
