"""`mirror.json`: where the files of a complete artifact can be had that are not in its folder.

`dropped.json` beside it names them. Readers of large files open them by `open_file`, which takes them from the folder,
or through the cache of this machine from the mirror.
"""

from __future__ import annotations

import os
from pathlib import Path

from wavlm.storage.cache import Cache
from wavlm.storage.digested import read_digested, write_digested
from wavlm.storage.facts import Facts
from wavlm.storage.seals import MIRROR_FILE, broken, sealed_files


class Elsewhere(Facts):
    """The mirror that an artifact was fetched from, and the cache of this machine, if files are read through it."""

    mirror: str
    cache: str = ""
    cache_bytes: int = 0  # 0: none is
    left_out: tuple[str, ...] = ()  # files that the mirror has not, either


def read_elsewhere(folder: Path) -> Elsewhere | None:
    """Where the files can be had that are not here; None if they cannot. Raises BadDataError (RECORD_BROKEN)."""
    path = folder / MIRROR_FILE
    try:
        found = read_digested(path)
        if not found.has_digest:
            raise broken(path, "it has no digest")
        return Elsewhere.model_validate(found.content, strict=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise broken(path, error) from error


def write_elsewhere(folder: Path, elsewhere: Elsewhere) -> None:
    """Note where the files of an artifact can be had."""
    write_digested(folder / MIRROR_FILE, elsewhere.model_dump(mode="json"))


def open_file(folder: Path, name: str) -> int:
    """A file descriptor of a file of a sealed folder, for reading.

    Raises FileNotFoundError if it is not there, and cannot be had elsewhere; what `Cache.open` raises.
    """
    try:
        return os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        cache, sealed = cache_of(folder), sealed_files(folder).get(name)
        if cache is None or sealed is None:
            raise
    return cache.open(sealed.sha256, sealed.bytes)


def bring_near(folder: Path, name: str) -> None:
    """Fetch a file of a sealed folder into the cache of this machine, if it is read through it."""
    cache, sealed = cache_of(folder), sealed_files(folder).get(name)
    if cache and sealed and not (folder / name).is_file():
        cache.fetch(sealed.sha256, sealed.bytes)


def cache_of(folder: Path) -> Cache | None:
    """The cache through which the files of a folder are read that are not in it; None if there is none."""
    elsewhere = read_elsewhere(folder)
    if elsewhere is None or not elsewhere.cache_bytes:
        return None
    return Cache(Path(elsewhere.cache), elsewhere.cache_bytes, elsewhere.mirror)
