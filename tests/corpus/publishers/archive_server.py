"""A local web server with many archives, which knows Range and may cut each answer, and ask for a token."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from wavlm.specs import HttpsSource

Cut = Callable[[int, int, int], int]  # number of the answer, first byte, size of the file -> byte at which it is cut


def uncut(_: int, __: int, size: int) -> int:
    """Every answer is whole."""
    return size


class ArchiveServer(ThreadingHTTPServer):
    """`files` by path; `seen` has the path, the range and the authorization of each request."""

    daemon_threads = True

    def __init__(self, files: Mapping[str, bytes], cut: Cut, token: str, redirect: ArchiveServer | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.cut, self.token, self.redirect = files, cut, token, redirect
        self.seen: list[tuple[str, str | None, str | None]] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"

    def source(self, path: str, form: str, **fields: object) -> HttpsSource:
        """The source of a corpus spec for one of the files."""
        digest = hashlib.sha256(self.files[path]).hexdigest()
        found = {"type": "https", "urls": (self.url(path),), "sha256": digest, "format": form, **fields}
        return HttpsSource.model_validate(found)

    def unpinned(self, path: str, form: str, **fields: object) -> HttpsSource:
        """The same, without a digest: the first download says which bytes are right."""
        found = {"type": "https", "urls": (self.url(path),), "digest_from": "first-download", "format": form, **fields}
        return HttpsSource.model_validate(found)


class _Handler(BaseHTTPRequestHandler):
    server: ArchiveServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""

    def do_GET(self) -> None:
        self.close_connection = True
        path = self.path.removeprefix("/")
        self.server.seen.append((path, self.headers.get("Range"), self.headers.get("Authorization")))
        content = self.server.files.get(path)
        if self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self._answer(401, b"", {})
        elif self.server.redirect is not None:
            self._answer(302, b"", {"Location": self.server.redirect.url(path)})
        elif content is None:
            self._answer(404, b"", {})
        else:
            self._send(content)

    def _send(self, content: bytes) -> None:
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        extra = {"ETag": '"one"', "Content-Length": str(len(content) - start)}
        if start:
            extra["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        stop = self.server.cut(len(self.server.seen), start, len(content))
        self._answer(206 if start else 200, content[start:stop], extra)

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            for name, value in {"Connection": "close", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)


@contextmanager
def serving_archives(
    files: Mapping[str, bytes], cut: Cut = uncut, token: str = "", redirect: ArchiveServer | None = None
) -> Iterator[ArchiveServer]:
    """Serve files on the loopback until the block ends. `redirect`: the server that has them."""
    server = ArchiveServer(files, cut, token, redirect)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
