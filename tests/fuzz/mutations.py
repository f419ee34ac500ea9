"""Random changes of bytes, for files of text: the same for the same random numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

RNG = np.random.Generator
Change = Callable[[bytes, RNG], bytes]


def flip_bit(blob: bytes, rng: RNG) -> bytes:
    """One bit is another."""
    changed = bytearray(blob)
    if changed:
        changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def cut(blob: bytes, rng: RNG) -> bytes:
    """The end is missing."""
    return blob[: int(rng.integers(len(blob) + 1))]


def remove_part(blob: bytes, rng: RNG) -> bytes:
    """A part in the middle is missing."""
    start, end = sorted(rng.integers(len(blob) + 1, size=2).tolist())
    return blob[:start] + blob[end:]


def repeat_line(blob: bytes, rng: RNG) -> bytes:
    """A line stands somewhere else as well."""
    lines = blob.splitlines(keepends=True) or [b""]
    lines.insert(int(rng.integers(len(lines) + 1)), lines[int(rng.integers(len(lines)))])
    return b"".join(lines)


def swap_lines(blob: bytes, rng: RNG) -> bytes:
    """Two lines have changed places."""
    lines = blob.splitlines(keepends=True) or [b""]
    first, second = rng.integers(len(lines), size=2).tolist()
    lines[first], lines[second] = lines[second], lines[first]
    return b"".join(lines)


def indent_line(blob: bytes, rng: RNG) -> bytes:
    """A line begins with other white space."""
    lines = blob.splitlines(keepends=True) or [b""]
    at = int(rng.integers(len(lines)))
    lines[at] = (b" ", b"  ", b"\t", b"")[int(rng.integers(4))] + lines[at].lstrip()
    return b"".join(lines)


def insert_one_of(pieces: Sequence[bytes]) -> Change:
    """A change that inserts one of these pieces somewhere."""

    def insert_piece(blob: bytes, rng: RNG) -> bytes:
        at = int(rng.integers(len(blob) + 1))
        return blob[:at] + pieces[int(rng.integers(len(pieces)))] + blob[at:]

    return insert_piece
