"""`mirror.json`: where the files of a complete artifact can be had that are not in its folder.

`dropped.json` beside it names them. Readers of large files open them by `open_file`, which takes them from the folder,
or through the cache of this machine from the mirror.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from wavlm.errors import BadDataError
from wavlm.storage.cache import ObjectCache, object_key, open_mirror
from wavlm.storage.digested import read_digested, write_digested
from wavlm.storage.facts import Facts
from wavlm.storage.pieces import PIECE_BYTES, find_wrong, read_pieces
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

    Raises FileNotFoundError if it is not there, and cannot be had elsewhere; what `ObjectCache.open` raises.
    """
    try:
        return os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        cache, sealed = cache_of(folder), sealed_files(folder).get(name)
        if cache is None or sealed is None:
            raise
    return cache.open(sealed.sha256, sealed.bytes)


def read_range(folder: Path, name: str, begin: int, size: int) -> bytes:
    """Bytes of a file of a sealed folder that is in a mirror, compared with their digests, and kept nowhere.

    Raises FileNotFoundError if it cannot be had there, BadDataError (MIRROR_DAMAGED) and what `Mirror` raises.
    """
    elsewhere, sealed, digests = read_elsewhere(folder), sealed_files(folder).get(name), read_pieces(folder).get(name)
    if elsewhere is None or sealed is None or digests is None:
        raise FileNotFoundError(errno.ENOENT, "it is neither here nor in a mirror", str(folder / name))
    mirror, key, first = open_mirror(elsewhere.mirror), object_key(sealed.sha256), begin // PIECE_BYTES
    end = min(-(-(begin + size) // PIECE_BYTES) * PIECE_BYTES, sealed.bytes)
    wrong: int | None = None
    for _ in range(2):  # what stands between may change it on the way
        blob = mirror.read_range(key, first * PIECE_BYTES, end - first * PIECE_BYTES)
        wrong = find_wrong(blob, first, digests)
        if wrong is None:
            return blob[begin - first * PIECE_BYTES :][:size]
    raise BadDataError(
        "MIRROR_DAMAGED",
        f"the 2 MiB from {PIECE_BYTES * (wrong or 0)} on are not those that were pushed; at {mirror.address}/{key}; "
        "push it again from a store that has it: wavlm push --check",
    )


def can_be_had(folder: Path, name: str) -> bool:
    """Whether a file of a sealed folder is in it, or in the mirror that the folder was fetched from."""
    if (folder / name).is_file():
        return True
    elsewhere = read_elsewhere(folder)
    return elsewhere is not None and bool(elsewhere.mirror) and name not in elsewhere.left_out


def fetch_file(folder: Path, name: str, target: Path) -> None:
    """Fetch a file of a sealed folder that is not in it from its mirror, under another path.

    Raises FileNotFoundError if it cannot be had there, BadDataError (MIRROR_DAMAGED, MIRROR_LACKS) and what `Mirror`
    raises.
    """
    elsewhere, sealed = read_elsewhere(folder), sealed_files(folder).get(name)
    if elsewhere is None or sealed is None:
        raise FileNotFoundError(errno.ENOENT, "it is neither here nor in a mirror", str(folder / name))
    open_mirror(elsewhere.mirror).fetch(object_key(sealed.sha256), target, sealed.sha256, sealed.bytes)


def bring_near(folder: Path, name: str) -> None:
    """Fetch a file of a sealed folder into the cache of this machine, if it is read through it."""
    cache, sealed = cache_of(folder), sealed_files(folder).get(name)
    if cache and sealed and not (folder / name).is_file():
        cache.fetch(sealed.sha256, sealed.bytes)


def cache_of(folder: Path) -> ObjectCache | None:
    """The cache through which the files of a folder are read that are not in it; None if there is none."""
    elsewhere = read_elsewhere(folder)
    if elsewhere is None or not elsewhere.cache_bytes:
        return None
    return ObjectCache(Path(elsewhere.cache), elsewhere.cache_bytes, elsewhere.mirror)
