"""Hash the files of a folder, in processes that can be killed when a disk does not answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from wavlm.corpus.digests import NOWHERE, FileState
from wavlm.errors import BadDataError, ServiceMissingError
from wavlm.execution.fence import FencePool, LostCallError
from wavlm.storage.files import hash_pieces

THREADS = 4  # each waits for a process that reads and hashes
UNREADABLE = "unreadable"  # stands for the digest of what no permission opens
MISSING = "missing"  # for that of a file outside of the folder that a manifest names, and that is not there


def hash_files(
    place: Callable[[str], Path], paths: Sequence[str], states: Mapping[str, FileState], fences: FencePool
) -> Iterator[tuple[str, str]]:
    """The digest of each file. place: where it lies; states: as they were when the folder was walked through.

    Raises BadDataError: FILE_CHANGED, FOLDER_UNREADABLE; ServiceMissingError (STORAGE_STALLED).
    """
    stop = threading.Event()

    def work(path: str) -> str:
        return "" if stop.is_set() else _hash(place(path), states[path], fences)

    with ThreadPoolExecutor(THREADS) as pool:
        try:
            yield from zip(paths, pool.map(work, paths), strict=True)
        finally:
            stop.set()  # after an error or an interrupt the rest is not read


def hash_fenced(path: Path, fences: FencePool) -> str:
    """The sha256 of a file. Raises ServiceMissingError (STORAGE_STALLED) if its disk does not answer."""
    try:
        return fences.finish(hash_pieces, path)
    except LostCallError as error:
        raise ServiceMissingError(
            "STORAGE_STALLED", f"{error.detail} of a file; at {path}; check the disk or the mount, then run again"
        ) from error


def _hash(path: Path, state: FileState, fences: FencePool) -> str:
    if state == NOWHERE:
        return MISSING
    try:
        digest = hash_fenced(path, fences)
        after = FileState.of(path)
    except PermissionError:
        return UNREADABLE
    except FileNotFoundError as error:
        raise changed(path, "it was removed while the folder was read") from error
    except OSError as error:
        raise BadDataError(
            "FOLDER_UNREADABLE",
            f"a file of the corpus cannot be read: {error.strerror or error}; at {path}; repair the disk or remove it",
        ) from error
    if after != state:
        raise changed(path, "it was written while the folder was read")
    return digest


def changed(path: Path, what: str) -> BadDataError:
    """The error for a file that is written while it is read."""
    return BadDataError("FILE_CHANGED", f"{what}; at {path}; run again when nothing writes into the folder")
