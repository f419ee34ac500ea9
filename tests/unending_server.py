"""A server on loopback that answers every request in one bad way that no limit between two bytes ends."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BETWEEN_SECONDS = 0.05  # of two bytes that drip
Send = Callable[[bytes], None]


@contextmanager
def unending(behaviour: str) -> Iterator[str]:
    """Serve while the block runs; yields the address."""
    ended = threading.Event()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    arguments = (connection, BEHAVIOURS[behaviour], address, ended)
                    threading.Thread(target=_serve, args=arguments, daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield address
        finally:
            ended.set()
            listening.shutdown(socket.SHUT_RDWR)


def _serve(connection: socket.socket, answer: Callable[..., None], address: str, ended: threading.Event) -> None:
    with connection, suppress(OSError):
        while not ended.is_set() and connection.recv(65536):
            answer(connection.sendall, address, ended)


def _drip(send: Send, address: str, ended: threading.Event) -> None:
    send(HEAD + b"Content-Length: 100000\r\n\r\n")
    while not ended.wait(BETWEEN_SECONDS):
        send(b" ")


def _drip_head(send: Send, address: str, ended: threading.Event) -> None:
    send(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not ended.wait(BETWEEN_SECONDS):
        send(b"x")


def _endless(send: Send, address: str, ended: threading.Event) -> None:
    """The beginning is that of a tar file, which a download looks at."""
    send(HEAD + b"Connection: close\r\n\r\n" + b" " * 257 + b"ustar")
    while not ended.is_set():
        send(b" " * 65536)


def _endless_packed(send: Send, address: str, ended: threading.Event) -> None:
    """A megabyte of it would be a gigabyte."""
    send(HEAD + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n")
    block = gzip.compress(b" " * (64 << 20))
    while not ended.is_set():
        send(block)


def _hang(send: Send, address: str, ended: threading.Event) -> None:
    ended.wait()


def _half(send: Send, address: str, ended: threading.Event) -> None:
    send(HEAD + b"Content-Length: 1000\r\n\r\n{}")
    raise OSError("closed in the middle")


def _redirect(send: Send, address: str, ended: threading.Event) -> None:
    send(f"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {address}/again\r\n\r\n".encode())


def _packed_twice(send: Send, address: str, ended: threading.Event) -> None:
    """A kilobyte that would be half a gigabyte."""
    packed = gzip.compress(8 * gzip.compress(bytes(64 << 20)))
    length = f"Content-Length: {len(packed)}\r\n\r\n".encode()
    send(HEAD + b"Content-Encoding: gzip, gzip\r\n" + length + packed)


BEHAVIOURS: dict[str, Callable[[Send, str, threading.Event], None]] = {
    "drip": _drip,
    "drip_head": _drip_head,
    "endless": _endless,
    "endless_packed": _endless_packed,
    "hang": _hang,
    "half": _half,
    "packed_twice": _packed_twice,
    "redirect": _redirect,
}
