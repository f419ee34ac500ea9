"""Behind a proxy: `http_proxy` is set for all addresses, and servers on this machine were asked through it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from flows.cli import orchestrated
from tasks.orchestration.server import OwnServer, reach_loopback
from tasks.viewing import open_pages
from tests.waiting import LIMIT_SECONDS
from wavlm.errors import UsageError
from wavlm.pipeline.store import Store

ROOT = Path(__file__).parents[2]
PROXY = "http://127.0.0.1:9"  # nobody listens there
ASK = """
import http.server, threading
import httpx
from tasks.orchestration import server
from tasks import viewing
from wavlm.errors import ServiceMissingError

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass

found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=found.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{found.server_port}"
print(server.answers(url, 10), viewing._answers(url))
server.reach_loopback()
print(server.answers(url, 10), viewing._answers(url))
"""


@pytest.mark.parametrize(("name", "passed"), [("http_proxy", "NO_PROXY"), ("ALL_PROXY", "no_proxy")])
def test_a_server_of_this_machine_is_not_asked_through_a_proxy(name: str, passed: str) -> None:
    environment = {key: text for key, text in os.environ.items() if not key.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=ROOT, env={**environment, name: PROXY, passed: "example.org"},
        capture_output=True, text=True, timeout=LIMIT_SECONDS, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["False False", "True True"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "example.org, .lan"}, "example.org,.lan,127.0.0.1,localhost"),
        ({"no_proxy": "localhost"}, "localhost,127.0.0.1"),
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_what_is_reached_without_the_proxy_stays_so(
    before: dict[str, str], after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    for name, text in before.items():
        monkeypatch.setenv(name, text)
    reach_loopback()
    reach_loopback()
    assert os.environ["no_proxy"] == after
    assert os.environ.get("NO_PROXY", after) == after


@pytest.mark.parametrize("start", ["server", "pages", "run"])
def test_commands_that_start_servers_reach_them(start: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "environ", {**os.environ, "http_proxy": PROXY, "no_proxy": "", "NO_PROXY": ""})
    if start == "server":
        (tmp_path / "home").touch()
        with pytest.raises(FileExistsError):  # far enough
            OwnServer(tmp_path / "home")
    elif start == "pages":
        with pytest.raises(UsageError, match="NOT_FOUND"), open_pages(Store(tmp_path)):
            pass
    else:
        orchestrated._set_environment(tmp_path)
    with httpx.Client() as client:
        assert client._transport_for_url(httpx.URL("http://127.0.0.1:1")) is client._transport
        assert client._transport_for_url(httpx.URL("http://example.org")) is not client._transport
