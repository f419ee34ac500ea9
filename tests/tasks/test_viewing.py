"""`wavlm ui`: real pages on loopback for as long as somebody looks, and nothing afterwards."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tasks.conftest import BuiltStore
from tests.waiting import LIMIT_SECONDS, wait_until

ROOT = Path(__file__).parents[2]


def start(store: Path, folder: Path) -> subprocess.Popen[str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("MLFLOW_", "PREFECT_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "ui", "--store", str(store)],
        cwd=ROOT,
        env={**kept, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def children_of(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


@pytest.mark.full
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_both_pages_answer_on_loopback_and_end_with_the_command(
    make_store: Callable[[None], BuiltStore], tmp_path: Path, end: signal.Signals
) -> None:
    built = make_store(None)
    (built.store.root / "prefect").mkdir()
    (built.store.root / "prefect" / "prefect.db").touch()  # Prefect makes its tables when it starts
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    process = start(built.store.root, folder)
    assert process.stdout is not None
    pages = dict(process.stdout.readline().split() for _ in range(2))
    assert pages.keys() == {"MLflow", "Prefect"}
    for url in pages.values():
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        with urllib.request.urlopen(url, timeout=LIMIT_SECONDS) as response:  # noqa: S310 - our own servers
            assert response.status == 200
            assert b"<html" in response.read().lower()
    servers = children_of(process.pid)
    assert len(servers) == 2

    process.send_signal(end)
    code = process.wait(LIMIT_SECONDS)
    process.stdout.close()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in servers), "the end of the servers")
    if end is not signal.SIGKILL:
        assert code == 0
        assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_a_store_without_anything_to_show_is_refused_and_not_made(tmp_path: Path) -> None:
    process = start(tmp_path / "nothing", tmp_path)
    assert process.wait(LIMIT_SECONDS) == 2
    assert process.stdout is not None
    process.stdout.close()
    assert list(tmp_path.iterdir()) == []
