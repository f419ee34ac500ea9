"""Seal a folder as the store does, for tests of what reads it; and damage a file of it in a way that a seed names."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from wavlm.pipeline.record import ArtifactRecord, Seal, SealedFile, write_record, write_seal
from wavlm.pipeline.sealing import list_files
from wavlm.storage.files import sha256_of
from wavlm.storage.seals import content_of

Damage = Callable[[bytes, random.Random], bytes]
PAGE = 512


def seal(folder: Path) -> Path:
    """Write the record and the seal of a folder; returns the folder."""
    files = {
        name: SealedFile(sha256=sha256_of(folder / name), bytes=(folder / name).stat().st_size)
        for name in list_files(folder)
    }
    write_seal(folder, Seal(content=content_of(files), inputs={}))
    record = ArtifactRecord(
        identity={}, key="0", inputs=(), facts={}, files=files, versions={}, finished_unix=0.0, seconds=0.0
    )
    write_record(folder, record)
    return folder


def flip(whole: bytes, rng: random.Random) -> bytes:
    """One bit."""
    place = rng.randrange(8 * len(whole))
    changed = bytearray(whole)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def cut(whole: bytes, rng: random.Random) -> bytes:
    """Cut the end off."""
    return whole[: rng.randrange(len(whole))]


def zero(whole: bytes, rng: random.Random) -> bytes:
    """A page of zeros, as a disk leaves it."""
    first = rng.randrange(len(whole)) // PAGE * PAGE
    return whole[:first] + bytes(len(whole[first : first + PAGE])) + whole[first + PAGE :]


DAMAGES: tuple[Damage, ...] = (flip, cut, zero)


@contextmanager
def damaged(path: Path, damage: Damage, seed: int) -> Iterator[bool]:
    """The file is damaged while the block runs; False if the damage changes nothing."""
    whole = path.read_bytes()
    changed = damage(whole, random.Random(seed))  # noqa: S311 - to be repeated
    path.write_bytes(changed)
    try:
        yield changed != whole
    finally:
        path.write_bytes(whole)
