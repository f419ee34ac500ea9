"""A local S3 server that misbehaves in every way that was seen, or that may come. The bucket names the behaviour."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MEBIBYTE = 1 << 20


class BadStore(ThreadingHTTPServer):
    """`content` is what each object holds; `seen` lists (method, path, range)."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.seen: list[tuple[str, str, str | None]] = []
        self.counts: Counter[str] = Counter()
        self.released = threading.Event()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: BadStore
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""

    def do_GET(self) -> None:
        self._act()

    def do_HEAD(self) -> None:
        self._act()

    def do_DELETE(self) -> None:
        self._act()

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._act()

    def _act(self) -> None:
        behaviour = self.path.split("/")[1].split("?")[0]
        self.server.seen.append((self.command, self.path, self.headers.get("Range")))
        self.server.counts[behaviour] += 1
        self.close_connection = True
        with suppress(BrokenPipeError, ConnectionResetError):
            getattr(self, f"_{behaviour.replace('-', '_')}")(self.server.counts[behaviour] == 1)

    # --- pieces ---

    def _start(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {
            "ETag": '"one"',
            "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT",
            "Connection": "close",
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def _answer(self, cut: int | None = None, content: bytes | None = None, shift: int = 0) -> None:
        """A good answer, also to a range, that may send only `cut` bytes, or name another range."""
        content = self.server.content if content is None else content
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        headers = {"Content-Length": str(len(content) - start)}
        if asked:
            headers["Content-Range"] = f"bytes {start + shift}-{len(content) - 1}/{len(content)}"
        self._start(206 if asked else 200, headers)
        self._send(content[start:][:cut])

    def _endless_body(self, status: int) -> None:
        self._start(status, {"Transfer-Encoding": "chunked"})
        while not self.server.released.is_set():
            self._send(b"100000\r\n" + bytes(MEBIBYTE) + b"\r\n")

    # --- behaviours ---

    def _good(self, first: bool) -> None:
        self._answer()

    def _cut_twice(self, first: bool) -> None:
        self._answer(cut=len(self.server.content) // 3 if self.server.counts["cut-twice"] < 3 else None)

    def _cut_always(self, first: bool) -> None:
        self._answer(cut=1000)

    def _wrong_range(self, first: bool) -> None:
        self._answer(cut=len(self.server.content) // 2 if first else None, shift=5)

    def _wrong_bytes_of_range(self, first: bool) -> None:
        """A range with a right header and the bytes of another one."""
        half = len(self.server.content) // 2
        self._answer(cut=half, content=None if first else self.server.content[::-1])

    def _busy_twice(self, first: bool) -> None:
        if self.server.counts["busy-twice"] < 3:
            self._start(503, {"Content-Length": "0"})
        else:
            self._answer()

    def _busy(self, first: bool) -> None:
        self._start(503, {"Content-Length": "0"})

    def _denied(self, first: bool) -> None:
        key = self.headers.get("Authorization", "")
        body = f"<Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>{key}</AWSAccessKeyId></Error>".encode()
        self._start(403, {"Content-Length": str(len(body))})
        self._send(body)

    def _other_bytes(self, first: bool) -> None:
        self._answer(content=self.server.content[:-1] + bytes([self.server.content[-1] ^ 1]))

    def _other_bytes_once(self, first: bool) -> None:
        if first:
            self._other_bytes(first)
        else:
            self._answer()

    def _too_long(self, first: bool) -> None:
        self._answer(content=self.server.content + b"more")

    def _too_short(self, first: bool) -> None:
        self._answer(content=self.server.content[:-1])

    def _page(self, first: bool) -> None:
        self._answer(content=b"<html>Please log in</html>")

    def _silent(self, first: bool) -> None:
        self._answer(cut=1000)
        self.server.released.wait(60)

    def _slow(self, first: bool) -> None:
        """Each piece comes just within the time that a silent store has."""
        self._start(200, {"Content-Length": str(len(self.server.content))})
        for start in range(0, len(self.server.content), 100_000):
            self.server.released.wait(0.3)
            self._send(self.server.content[start : start + 100_000])

    def _trickle(self, first: bool) -> None:
        self._start(200, {"Content-Length": str(len(self.server.content))})
        for start in range(len(self.server.content)):
            self._send(self.server.content[start : start + 1])
            if self.server.released.wait(0.05):
                return

    def _trickled_head(self, first: bool) -> None:
        self._send(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not self.server.released.wait(0.05):
            self._send(b"a")

    def _endless(self, first: bool) -> None:
        self._endless_body(200)

    def _endless_error(self, first: bool) -> None:
        self._endless_body(404)


@contextmanager
def serving(content: bytes) -> Iterator[BadStore]:
    """A bad store on a free local port while the block runs."""
    server = BadStore(content)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
