"""Which addresses a process and its descendants listen on, seen by the kernel's tables while they run (Linux).

What a library binds cannot be read off its arguments. A table is read every few hundredths of a second, so a socket
that lives shorter may be missed; those of a training, a server or a worker live for seconds.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

PROC = Path("/proc")
LISTEN, UNCONNECTED = "0A", "07"  # states of linux/tcp_states.h; a UDP socket without a peer hears everybody
BETWEEN_SECONDS = 0.03


@dataclass
class Sockets:
    """What was seen so far: address, port, and the command line of a process that held it."""

    loopback: set[tuple[str, int]] = field(default_factory=set)
    elsewhere: dict[tuple[str, int], str] = field(default_factory=dict)

    def look(self, root: int) -> None:
        """Add what the process `root` and its descendants listen on now."""
        listening = dict(_listening())
        for process in _descendants(root):
            for inode in _sockets_of(process) & listening.keys():
                address, port = listening[inode]
                if ipaddress.ip_address(address).is_loopback:
                    self.loopback.add((address, port))
                else:
                    self.elsewhere[address, port] = _command(process)


@contextmanager
def watch_sockets(root: int | None = None) -> Iterator[Sockets]:
    """Look again and again while the block runs, at this process and all below it."""
    sockets, ended = Sockets(), threading.Event()
    failures: list[Exception] = []

    def watch() -> None:
        try:
            while not ended.wait(BETWEEN_SECONDS):
                sockets.look(root or os.getpid())
        except Exception as error:  # noqa: BLE001 - raised below: a test must not pass because nobody looked
            failures.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield sockets
    finally:
        ended.set()
        thread.join()
    if failures:
        raise failures[0]


def _listening() -> Iterator[tuple[str, tuple[str, int]]]:
    """Inode, address and port of each socket of this machine that others can send to."""
    for name, state in (("tcp", LISTEN), ("tcp6", LISTEN), ("udp", UNCONNECTED), ("udp6", UNCONNECTED)):
        with suppress(FileNotFoundError):  # a machine without IPv6
            for line in (PROC / "net" / name).read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == state:
                    yield words[9], _decode(words[1])


def _decode(text: str) -> tuple[str, int]:
    """`0100007F:1F90` -> (127.0.0.1, 8080): words of 32 bits in the byte order of the machine."""
    address, _, port = text.partition(":")
    blob = b"".join(struct.pack("=I", int(address[start : start + 8], 16)) for start in range(0, len(address), 8))
    found = ipaddress.ip_address(socket.inet_ntop(socket.AF_INET if len(blob) == 4 else socket.AF_INET6, blob))
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found), int(port, 16)


def _descendants(root: int) -> list[int]:
    parents = {}
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = [root]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


def _sockets_of(process: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for path in (PROC / str(process) / "fd").iterdir():
            with suppress(OSError):
                target = str(path.readlink())
                if target.startswith("socket:["):
                    found.add(target[8:-1])
    return found


def _command(process: int) -> str:
    with suppress(OSError):
        return (PROC / str(process) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return "a process that has ended"
