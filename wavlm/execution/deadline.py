"""A total deadline for an exchange over http. httpx's own limits hold between two bytes only.

A server that sends one byte a second keeps every such limit for ever. This module imports no network library.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

SMALL_BYTES = 4 << 20  # far above what any answer has that is read whole


class Deadline:
    """Ends the connections of a request `seconds` after the block began. Give `extensions` to httpx's request.

    When it ends them, httpx raises an error of the transport, and `expired` is set.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.expired = False
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """It was kept: what comes now may take longer."""
        self._timer.cancel()

    @property
    def extensions(self) -> dict[str, Any]:
        """httpx's hook that is told of each connection (encode.io/httpcore, extensions, trace)."""
        return {"trace": self._note}

    def _note(self, event: str, info: Mapping[str, Any]) -> None:
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            found = info["return_value"].get_extra_info("socket")
            if found is not None:
                self._sockets.append(found)
        if self.expired:
            self._expire()

    def _expire(self) -> None:
        self.expired = True
        for found in self._sockets:
            with suppress(OSError):  # closed meanwhile
                found.shutdown(socket.SHUT_RDWR)


def fetch(client: Any, url: str, seconds: float, max_bytes: int = SMALL_BYTES, **request: Any) -> Any:
    """The answer to a GET of an httpx client, with its content: whole after `seconds`, and no larger than `max_bytes`.

    Raises OSError if it is not, and else what httpx raises.
    """
    with Deadline(seconds) as deadline:
        try:
            with client.stream("GET", url, extensions=deadline.extensions, **request) as response:
                response._content = b"".join(_limit(response.iter_bytes(), max_bytes))  # noqa: SLF001 - as its `read` does
        except Exception as error:
            if deadline.expired:
                raise TimeoutError(f"no whole answer in {seconds:g} s") from error
            raise
    if deadline.expired:  # an answer without a length ends as well as it is cut
        raise TimeoutError(f"no whole answer in {seconds:g} s")
    return response


def _limit(blocks: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    size = 0
    for block in blocks:
        size += len(block)
        if size > max_bytes:
            raise OSError(f"an answer of more than {max_bytes} bytes")
        yield block
