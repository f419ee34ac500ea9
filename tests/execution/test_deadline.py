from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
import requests

from tasks.registry import bounds
from tasks.registry.bounds import bound_exchanges
from wavlm.errors import AnswerTooLargeError
from wavlm.execution.deadline import Deadline, fetch

CONTENT = b'{"found": 1}'
PACKINGS = {"": CONTENT, "identity": CONTENT, "gzip": gzip.compress(CONTENT), "x-unknown": CONTENT}
PACKED = ["gzip", "x-unknown"]


@contextmanager
def answering(*, encoding: str = "", is_slow_later: bool = False) -> Iterator[tuple[str, list[str], list[str]]]:
    """A server that keeps connections; yields its address, the encodings it is asked for, what it answered."""
    asked: list[str] = []
    answered: list[str] = []
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(self.headers.get("Accept-Encoding", ""))
            if is_slow_later and len(asked) > 1:
                ended.wait(30)
            self.send_response(200)
            if encoding:
                self.send_header("Content-Encoding", encoding)
            self.send_header("Content-Length", str(len(PACKINGS[encoding])))
            self.end_headers()
            answered.append(self.path)
            self.wfile.write(PACKINGS[encoding])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked, answered
        finally:
            ended.set()
            server.shutdown()


def test_the_second_request_of_a_client_has_its_deadline_too() -> None:
    with answering(is_slow_later=True) as (address, _, answered), httpx.Client(timeout=60) as client:
        assert fetch(client, address, 20).content == CONTENT
        with pytest.raises(TimeoutError, match=r"no whole answer in 0\.5 s"):
            fetch(client, address, 0.5)
        assert len(answered) == 1, "and not when the server had answered"


def test_a_request_on_a_connection_that_was_there_is_refused() -> None:
    with answering() as (address, _, _), httpx.Client(timeout=20) as client:
        client.get(address)
        with (
            Deadline(20) as deadline,
            pytest.raises(RuntimeError, match="its deadline does not know"),
        ):
            client.get(address, extensions=deadline.extensions)


@pytest.mark.parametrize("encoding", ["", "identity"])
def test_no_packed_answer_is_asked_for(encoding: str) -> None:
    bound_exchanges()
    with answering(encoding=encoding) as (address, asked, _), httpx.Client() as client, requests.Session() as session:
        assert fetch(client, address, 20).json() == {"found": 1}
        assert session.get(address, timeout=20).json() == {"found": 1}
        assert session.get(address, timeout=20, headers={"accept-encoding": "gzip"}).json() == {"found": 1}
    assert asked == ["identity"] * 3


@pytest.mark.parametrize("encoding", PACKED)
def test_a_packed_answer_is_refused_before_it_is_unpacked(encoding: str) -> None:
    bound_exchanges()
    what = rf"an answer that is packed \({encoding}\)"
    with answering(encoding=encoding) as (address, _, _), httpx.Client() as client, requests.Session() as session:
        with pytest.raises(OSError, match=what):
            fetch(client, address, 20)
        with pytest.raises(requests.RequestException, match=what):
            session.get(address, timeout=20)


def test_an_answer_that_is_too_large_is_refused_however_fast_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of time alone lets a fast server fill the memory: two gigabytes in half a minute were reported."""
    bound_exchanges()
    with answering() as (address, _, _), httpx.Client() as client, requests.Session() as session:
        with pytest.raises(AnswerTooLargeError, match=f"more than {len(CONTENT) - 1} bytes"):
            fetch(client, address, 20, len(CONTENT) - 1)
        assert fetch(client, address, 20, len(CONTENT)).content == CONTENT
        monkeypatch.setattr(bounds, "_limits", bounds._Limits(answer_bytes=64))  # its head alone is longer
        with pytest.raises(requests.RequestException, match="more than 64 bytes"):
            session.get(address, timeout=20)
        with bounds.allow_files():
            assert session.get(address, timeout=20).content == CONTENT
