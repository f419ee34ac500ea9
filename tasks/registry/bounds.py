"""Total time and size of each exchange with MLflow, whose own limits hold between two bytes only.

MLflow asks by requests, and requests by urllib3. The classes of its connections are replaced by ones that look at the
clock and count. A large transfer gets the time that a slow line needs; an answer that is no file has to be small.
"""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from wavlm.errors import AnswerTooLargeError
from wavlm.execution.deadline import refuse_packed

SECONDS = 30.0  # of one exchange, and on top of it what its bytes take at SLOWEST
SLOWEST_BYTES_PER_SECOND = 50_000
ANSWER_BYTES = 32 << 20  # 100,000 points of a curve are 10 MB
FILE_BYTES = 16 << 30  # of one file of a model: 4 thousand million parameters
UNPACKED = "identity"  # a packed answer may be a thousand times as large as what was received


@dataclass
class _Limits:
    """How many bytes an answer may have: more while a model's files are fetched."""

    answer_bytes: int = ANSWER_BYTES


_limits = _Limits()


@contextmanager
def allow_files(most_bytes: int = FILE_BYTES) -> Iterator[None]:
    """A context in which answers may have so many bytes, in all threads: MLflow fetches files in several."""
    before = _limits.answer_bytes
    _limits.answer_bytes = max(before, most_bytes)
    try:
        yield
    finally:
        _limits.answer_bytes = before


@dataclass
class _Exchange:
    """One request and its answer."""

    began: float = field(default_factory=time.monotonic)
    sent: int = 0
    received: int = 0
    most_bytes: int = field(default_factory=lambda: _limits.answer_bytes)

    def seconds_left(self) -> float:
        """Raises TimeoutError if there is no time left."""
        allowed = SECONDS + (self.sent + self.received) / SLOWEST_BYTES_PER_SECOND
        left = self.began + allowed - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no whole answer after {allowed:.0f} s, with {self.received} bytes")
        return left

    def count(self, received: int) -> None:
        """Raises OSError if there are more bytes than an answer may have."""
        self.received += received
        if self.received > self.most_bytes:
            raise AnswerTooLargeError(f"an answer of more than {self.most_bytes} bytes")


class _Incoming(io.RawIOBase):
    """The bytes of a socket, while there is time."""

    def __init__(self, sock: Any, exchange: _Exchange) -> None:
        self._file, self._sock, self._exchange = sock.makefile("rb", buffering=0), sock, exchange

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        before, left = self._sock.gettimeout(), self._exchange.seconds_left()
        self._sock.settimeout(left if before is None else min(before, left))
        found: int | None = self._file.readinto(buffer)
        self._exchange.count(found or 0)
        return found

    def close(self) -> None:
        self._file.close()
        super().close()


class _Bounded(http.client.HTTPConnection):
    """Mixed into urllib3's connections."""

    _exchange: _Exchange

    def connect(self) -> None:
        self._exchange = _Exchange()  # a proxy answers before there is a request
        super().connect()

    def putrequest(self, *args: Any, **kwargs: Any) -> None:
        self._exchange = _Exchange()
        super().putrequest(*args, **kwargs)

    def putheader(self, header: str | bytes, *values: Any) -> None:
        name = header if isinstance(header, str) else header.decode("latin-1")
        super().putheader(header, *((UNPACKED,) if name.lower() == "accept-encoding" else values))

    def send(self, data: Any) -> None:
        self._exchange.seconds_left()
        super().send(data)
        self._exchange.sent += len(data) if isinstance(data, bytes | bytearray | memoryview) else 0

    def response_class(self, sock: Any, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:  # type: ignore[override]
        response = _Response(sock, *args, **kwargs)
        response.bound(sock, self._exchange)
        return response


class _Response(http.client.HTTPResponse):
    def bound(self, sock: Any, exchange: _Exchange) -> None:
        self.fp.close()
        self.fp = io.BufferedReader(_Incoming(sock, exchange))
        self._exchange = exchange

    def begin(self) -> None:
        super().begin()
        refuse_packed(self.getheader("content-encoding", ""))


def bound_exchanges() -> None:
    """From now on every exchange of this process by requests or urllib3 has a total deadline and a limit of size."""
    from urllib3 import connectionpool
    from urllib3.connection import HTTPConnection, HTTPSConnection

    for pool, connection in (
        (connectionpool.HTTPConnectionPool, HTTPConnection),
        (connectionpool.HTTPSConnectionPool, HTTPSConnection),
    ):
        if pool.ConnectionCls is connection:  # the place that urllib3 has for a class of one's own
            pool.ConnectionCls = type(f"Bounded{connection.__name__}", (_Bounded, connection), {})
