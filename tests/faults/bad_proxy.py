"""A proxy on loopback before a good server, which passes requests on until the n-th, and is bad from then on."""

from __future__ import annotations

import http.client
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.unending_server import BEHAVIOURS as UNENDING

SLOW_SECONDS = 1.5
PASSED_ON = ("content-type", "accept", "range")


class BadProxy(ThreadingHTTPServer):
    """Bad in one of BEHAVIOURS from request `at` on. `seen` counts requests; `turned` is set at the first bad one."""

    daemon_threads = True

    def __init__(self, upstream: str, behaviour: str, at: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.behaviour, self.at = urlsplit(upstream).netloc, behaviour, at
        self.numbers = itertools.count(1)
        self.seen = 0
        self.turned, self.ended = threading.Event(), threading.Event()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: BadProxy
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""

    def do_GET(self) -> None:
        self._act()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET  # noqa: N815 - the names that the standard library calls

    def _act(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.close_connection = True
        self.server.seen = number = next(self.server.numbers)
        with suppress(OSError):
            if number < self.server.at:
                self._pass_on(body)
            else:
                self.server.turned.set()
                BEHAVIOURS[self.server.behaviour](self, body)

    def _pass_on(self, body: bytes) -> None:
        self._answer(*self._ask(body))

    def _ask(self, body: bytes) -> tuple[int, str, bytes]:
        headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=60)
        try:
            upstream.request(self.command, self.path, body or None, headers)
            answer = upstream.getresponse()
            return answer.status, answer.headers.get("Content-Type", "application/json"), answer.read()
        finally:
            upstream.close()

    def _answer(self, status: int, form: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", form)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _is_writing(handler: _Handler) -> bool:
    """Searches of MLflow are sent by POST, too."""
    return handler.command != "GET" and not handler.path.partition("?")[0].endswith("/search")


def _gone(handler: _Handler, _: bytes) -> None:
    handler.server.shutdown()
    handler.server.socket.close()  # whoever comes next is refused
    handler.connection.shutdown(socket.SHUT_RDWR)


def _error(handler: _Handler, _: bytes) -> None:
    handler._answer(500, "application/json", b'{"error_code": "INTERNAL_ERROR", "message": "no room"}')


def _page(handler: _Handler, _: bytes) -> None:
    handler._answer(200, "text/html", b"<html>Please log in</html>")


def _empty(handler: _Handler, _: bytes) -> None:
    """As a server of another kind, whose answers are JSON, too."""
    handler._answer(200, "application/json", b"{}")


def _slow(handler: _Handler, body: bytes) -> None:
    handler.server.ended.wait(SLOW_SECONDS)
    handler._pass_on(body)


def _twice(handler: _Handler, body: bytes) -> None:
    """As a proxy does that has lost the first answer."""
    if _is_writing(handler):
        handler._ask(body)
    handler._pass_on(body)


def _drops(handler: _Handler, body: bytes) -> None:
    """A lie: what is written is taken, and not kept."""
    if _is_writing(handler):
        handler._answer(200, "application/json", b"{}")
    else:
        handler._pass_on(body)


def _drops_figures(handler: _Handler, body: bytes) -> None:
    """A lie: all is kept but figures."""
    if handler.path.endswith("/runs/log-batch"):
        handler._answer(200, "application/json", b"{}")
    else:
        handler._pass_on(body)


def _forgets(handler: _Handler, body: bytes) -> None:
    """A lie: nothing was ever there."""
    if _is_writing(handler):
        handler._pass_on(body)
    else:
        handler._answer(200, "application/json", b"{}")


def _unending(name: str) -> Callable[[_Handler, bytes], None]:
    def answer(handler: _Handler, _: bytes) -> None:
        UNENDING[name](handler.connection.sendall, handler.server.uri, handler.server.ended)

    return answer


BEHAVIOURS: dict[str, Callable[[_Handler, bytes], None]] = {
    "gone": _gone, "error": _error, "page": _page,
    "empty": _empty, "slow": _slow, "twice": _twice, "drops": _drops,
    "drops-figures": _drops_figures,
    "forgets": _forgets, "hang": _unending("hang"), "half": _unending("half"), "drip": _unending("drip"),
}  # fmt: skip


@contextmanager
def bad_proxy(upstream: str, behaviour: str, at: int) -> Iterator[BadProxy]:
    """A proxy that works while the block runs."""
    proxy = BadProxy(upstream, behaviour, at)
    threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.ended.set()
        proxy.shutdown()
        proxy.server_close()
