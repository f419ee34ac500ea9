"""A local web server that misbehaves in every way that was seen at a mirror.

The first part of a path names the behaviour: `/drop_once/corpus.tar`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ETAG = '"first"'
CHANGED = '"second"'
LOGIN_PAGE = b"<!DOCTYPE html><html><body>Please \x1b[31mlog in\x07</body></html>" * 20


class BadServer(ThreadingHTTPServer):
    """`content` is the body of a good answer; `seen` lists (path, request headers)."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.redirect_to = ""
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.counts: Counter[str] = Counter()
        self.sent_bytes = 0
        self.released = threading.Event()

    def url(self, behaviour: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_address[1]}/{behaviour}/corpus.tar"

    def ranges(self) -> list[str | None]:
        return [headers.get("range") for _, headers in self.seen]


class _Handler(BaseHTTPRequestHandler):
    server: BadServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""

    def do_GET(self) -> None:
        behaviour = self.path.split("/")[1]
        self.server.seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        self.server.counts[behaviour] += 1
        self.close_connection = True
        with suppress(BrokenPipeError, ConnectionResetError):
            getattr(self, f"_{behaviour}")(first=self.server.counts[behaviour] == 1)

    # --- pieces ---

    def _start(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()
        self.server.sent_bytes += len(data)

    def _asked_from(self) -> int:
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])

    def _answer(self, etag: str = ETAG, cut: int | None = None, content: bytes = b"") -> None:
        """A good answer, with Range and If-Range, that may end `cut` bytes into the file."""
        content = content or self.server.content
        start = self._asked_from() if self.headers.get("If-Range", etag) == etag else 0
        headers = {"ETag": etag, "Content-Length": str(len(content) - start)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._start(206 if start else 200, headers)
        self._send(content[start:cut])

    @property
    def _half(self) -> int:
        return len(self.server.content) // 2

    # --- behaviours ---

    def _good(self, first: bool) -> None:
        self._answer()

    def _drop_once(self, first: bool) -> None:
        self._answer(cut=self._half if first else None)

    def _drop_always(self, first: bool) -> None:
        self._start(200, {"ETag": ETAG, "Content-Length": str(len(self.server.content))})
        self._send(self.server.content[: self._half])

    def _drop_without_length(self, first: bool) -> None:
        self._start(200, {"ETag": ETAG})
        self._send(self.server.content[: self._half])

    def _drop_once_without_length(self, first: bool) -> None:
        if first:
            self._drop_without_length(first)
        else:
            self._answer()

    def _range_ignored(self, first: bool) -> None:
        self._start(200, {"ETag": ETAG, "Content-Length": str(len(self.server.content))})
        self._send(self.server.content[: self._half if first else None])

    def _wrong_range(self, first: bool) -> None:
        if first:
            self._drop_once(first)
        elif self._asked_from():
            content = self.server.content
            length = len(content)
            headers = {"Content-Range": f"bytes 0-{length - 1}/{length}", "ETag": ETAG}
            self._start(206, {**headers, "Content-Length": str(length)})
            self._send(content)
        else:
            self._answer()

    def _range_refused(self, first: bool) -> None:
        if not first and self._asked_from():
            self._start(416, {"Content-Length": "0"})
        else:
            self._drop_once(first)

    def _changed(self, first: bool) -> None:
        """The file is replaced after the first half of an older one was sent."""
        if first:
            old = bytes(255 - byte for byte in self.server.content)
            old = self.server.content[:512] + old[512:]
            self._answer(cut=self._half, content=old)
        else:
            self._answer(etag=CHANGED)

    def _no_validator(self, first: bool) -> None:
        self._start(200, {"Content-Length": str(len(self.server.content))})
        self._send(self.server.content[: self._half if first else None])

    def _busy(self, first: bool) -> None:
        if first:
            self._start(503, {"Retry-After": "1", "Content-Length": "0"})
        else:
            self._answer()

    def _always_busy(self, first: bool) -> None:
        self._start(429, {"Content-Length": "0"})

    def _missing(self, first: bool) -> None:
        self._start(404, {"Content-Length": "0"})

    def _forbidden(self, first: bool) -> None:
        self._start(403, {"Content-Length": "0"})

    def _login_page(self, first: bool) -> None:
        self._start(200, {"Content-Type": "text/html", "Content-Length": str(len(LOGIN_PAGE))})
        self._send(LOGIN_PAGE)

    def _stall(self, first: bool) -> None:
        self._start(200, {"ETag": ETAG, "Content-Length": str(len(self.server.content))})
        self._send(self.server.content[:1000])
        self.server.released.wait(10)

    def _trickle(self, first: bool) -> None:
        self._start(200, {"ETag": ETAG, "Content-Length": str(len(self.server.content))})
        for start in range(0, len(self.server.content), 10):
            self._send(self.server.content[start : start + 10])
            if self.server.released.wait(0.05):
                return

    def _slow(self, first: bool) -> None:
        """A good answer. The first one halts in the middle until its reader is gone."""
        start = self._asked_from() if self.headers.get("If-Range") == ETAG else 0
        length = len(self.server.content)
        headers = {"ETag": ETAG, "Content-Length": str(length - start)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{length - 1}/{length}"
        self._start(206 if start else 200, headers)
        for position in range(start, length, 16384):
            self._send(self.server.content[position : position + 16384])
            if first and 2 * position > length:
                self.connection.recv(1)  # returns when the other side is closed

    def _redirect(self, first: bool) -> None:
        self._start(302, {"Location": self.server.redirect_to, "Content-Length": "0"})

    def _redirect_loop(self, first: bool) -> None:
        self._start(302, {"Location": self.path, "Content-Length": "0"})

    def _wrong_bytes(self, first: bool) -> None:
        content = bytearray(self.server.content)
        content[-700] ^= 1
        self._answer(content=bytes(content))

    def _wrong_bytes_once(self, first: bool) -> None:
        if first:
            self._wrong_bytes(first)
        else:
            self._answer()

    def _too_long(self, first: bool) -> None:
        self._start(200, {"ETag": ETAG})
        self._send(self.server.content + b"more")

    def _other_size(self, first: bool) -> None:
        self._answer(content=self.server.content + b"more")


@contextmanager
def serving(content: bytes) -> Iterator[BadServer]:
    """A bad server on a free local port while the block runs."""
    server = BadServer(content)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
