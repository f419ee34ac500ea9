"""A total deadline for an exchange over http. httpx's own limits hold between two bytes only.

A server that sends one byte a second keeps every such limit for ever. This module imports no network library.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from wavlm.errors import AnswerTooLargeError

SMALL_BYTES = 4 << 20  # far above what any answer has that is read whole
UNPACKED = {"Accept-Encoding": "identity"}  # a packed answer may be a thousand times as large as what was received
# Of every request with a deadline: the next one makes a connection of its own, which its own deadline then ends.
HEADERS = {**UNPACKED, "Connection": "close"}


class Deadline:
    """Ends the connections of a request `seconds` after the block began. Give `extensions` to httpx's request.

    When it ends them, httpx raises an error of the transport, and `expired` is set.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.expired = False
        self._sockets: list[socket.socket] = []  # of our own, for those of httpx are replaced when TLS begins
        self._lock = threading.Lock()  # no descriptor is shut down that is closed, and may be another's by then
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self) -> None:
        """Start the clock; `end` stops it. For callers that have no block of their own."""
        self._timer.start()

    def end(self) -> None:
        """It was kept: what comes now may take longer."""
        self._timer.cancel()
        with self._lock:
            while self._sockets:
                self._sockets.pop().close()

    @property
    def extensions(self) -> dict[str, Any]:
        """httpx's hook that is told of each connection (encode.io/httpcore, extensions, trace)."""
        return {"trace": self._note}

    def _note(self, event: str, info: Mapping[str, Any]) -> None:
        """Keep each connection that is made, to a proxy as well. Raises RuntimeError if there was one already."""
        if event.endswith(".connect_tcp.complete"):
            with self._lock:
                self._sockets.append(info["return_value"].get_extra_info("socket").dup())
        if event.endswith(".send_request_headers.started") and not self._sockets and not self.expired:
            raise RuntimeError("a request on a connection that its deadline does not know; send deadline.HEADERS")
        if self.expired:
            self._expire()

    def _expire(self) -> None:
        self.expired = True
        with self._lock:
            while self._sockets:
                with self._sockets.pop() as found, suppress(OSError):  # the other side closed it
                    found.shutdown(socket.SHUT_RDWR)


def fetch(client: Any, url: str, seconds: float, max_bytes: int = SMALL_BYTES, **request: Any) -> Any:
    """The answer to a GET of an httpx client, with its content: whole after `seconds`, and no larger than `max_bytes`.

    Raises OSError if it is not, or if it is packed, and else what httpx raises.
    """
    headers = {**request.pop("headers", {}), **HEADERS}
    with Deadline(seconds) as deadline:
        try:
            with client.stream("GET", url, headers=headers, extensions=deadline.extensions, **request) as response:
                read_whole(response, max_bytes)
        except Exception as error:
            if deadline.expired:
                raise TimeoutError(f"no whole answer in {seconds:g} s") from error
            raise
    if deadline.expired:  # an answer without a length ends as well as it is cut
        raise TimeoutError(f"no whole answer in {seconds:g} s")
    return response


def read_whole(response: Any, max_bytes: int = SMALL_BYTES) -> None:
    """Read the content of an httpx response. Raises OSError if it is larger, or packed though UNPACKED was sent."""
    refuse_packed(response.headers.get("content-encoding", ""))
    response._content = b"".join(_limit(response.iter_raw(), max_bytes))  # noqa: SLF001 - as its `read` does


def refuse_packed(encoding: str) -> None:
    """Raise OSError unless an answer's Content-Encoding is what UNPACKED asks for."""
    found = encoding.strip().lower()
    if found not in ("", "identity"):
        raise OSError(f"an answer that is packed ({found[:40]}), though none was asked for")


def _limit(blocks: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    size = 0
    for block in blocks:
        size += len(block)
        if size > max_bytes:
            raise AnswerTooLargeError(f"an answer of more than {max_bytes} bytes")
        yield block
