"""Windows of shards on a disk of the machine's own: read from the store once and in sequence, and then in any order.

One process of a machine copies the tars of a window, one behind the other, into one file, and compares each with its
sha256 on the way. The window that is trained on and the next one are there; those behind are removed. All loaders of
the machine read from these files. What is not there yet, or no more, they read from the store. So nothing waits for a
copy, and no copy that fails ends a training.

    FOLDER/<epoch>-<window>.tars   the tars of a window
    FOLDER/<epoch>-<window>.json   where each shard begins in it; written last
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO

from wavlm.errors import CodedError
from wavlm.storage.files import read_json, write_json
from wavlm.storage.passing import PatientFile, read_patiently

log = logging.getLogger(__name__)

BLOCK_BYTES = 8 << 20
LOOK_SECONDS = 2.0  # between two looks for windows that were copied meanwhile
KEPT_WINDOWS = 3  # the one that is trained on, the next one, and the one before: other ranks may still be there
FREE_SHARE = 0.9  # of the free space that copies may take


@dataclass(frozen=True)
class StagedShard:
    """A tar of the store, as it is listed."""

    number: int  # through all corpora
    path: Path
    size_bytes: int
    sha256: str


class Stager:
    """Copies windows in the background, in the order in which they are needed. Of one process of a machine."""

    def __init__(self, folder: Path, describe: Callable[[Sequence[int]], list[StagedShard]]) -> None:
        """describe: the tars of some shards, given their numbers."""
        self._folder, self._describe = folder, describe
        self._asked: list[str] = []
        self._queue: SimpleQueue[tuple[str, Sequence[int]] | None] = SimpleQueue()
        self._is_closed = False
        # The end of a training does not wait for a copy.
        self._thread = Thread(target=self._work, name="windows", daemon=True)
        self._thread.start()

    def need(self, windows: Sequence[tuple[str, Sequence[int]]]) -> None:
        """Copy these windows, given by name and shards, if they are not there; forget those that were needed before."""
        for name, shards in windows:
            if name not in self._asked:
                self._asked.append(name)
                self._queue.put((name, shards))
        for old in self._asked[:-KEPT_WINDOWS]:
            _remove(self._folder, old)

    def close(self) -> None:
        """End the copy that is under way. The windows that are there stay."""
        self._is_closed = True
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (window := self._queue.get()) is not None and not self._is_closed:
            self._copy(*window)

    def _copy(self, name: str, shards: Sequence[int]) -> None:
        """Copy one window. A failure costs speed and nothing else."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            tars = self._describe(shards)
            if (self._folder / f"{name}.json").exists() or not self._has_room(tars):
                return
            begins = self._copy_tars(tars, self._folder / f".{name}.partial")
            if not self._is_closed:
                (self._folder / f".{name}.partial").rename(self._folder / f"{name}.tars")
                write_json(self._folder / f"{name}.json", begins)
        except (OSError, CodedError) as error:
            log.warning("the shards of a window are read from the store: %s; at %s", error, self._folder)
            (self._folder / f".{name}.partial").unlink(missing_ok=True)

    def _has_room(self, tars: Sequence[StagedShard]) -> bool:
        needed, free = sum(tar.size_bytes for tar in tars), shutil.disk_usage(self._folder).free
        if needed <= FREE_SHARE * free:
            return True
        log.warning(
            "no room for a window of %.1f GB, %.1f GB are free: shards are read from the store; at %s; give --scratch "
            "a larger disk",
            needed / 1e9,
            free / 1e9,
            self._folder,
        )
        return False

    def _copy_tars(self, tars: Sequence[StagedShard], path: Path) -> dict[str, int]:
        """Where each tar begins. One that is not the one that is listed is left out: who reads it there will say so."""
        begins: dict[str, int] = {}
        with path.open("wb") as file:
            for tar in tars:
                begin = file.tell()
                if self._is_closed:
                    break
                if read_patiently(partial(_append, file, begin, tar.path), tar.path) == tar.sha256:
                    begins[str(tar.number)] = begin
                else:
                    file.seek(begin)
                    file.truncate()
        return begins


def _append(file: IO[bytes], begin: int, source: Path) -> str:
    """Copy a file to this place of another; the sha256 of what was copied."""
    file.seek(begin)
    file.truncate()
    digest = hashlib.sha256()
    with source.open("rb", buffering=0) as reading:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(reading.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while block := reading.read(BLOCK_BYTES):
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def _remove(folder: Path, name: str) -> None:
    """Processes that have the file open go on reading it."""
    for path in (folder / f"{name}.json", folder / f"{name}.tars"):
        with suppress(OSError):
            path.unlink(missing_ok=True)


class StagedWindows:
    """Reads utterances of the windows that are copied. Can be pickled."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, PatientFile] = {}
        self._places: dict[int, tuple[str, int]] = {}  # of a shard: the window that it is in, and where it begins
        self._looked = -LOOK_SECONDS

    def read(self, shard: int, offset: int, size: int) -> bytes | None:
        """These bytes of a shard, given its number; None if it is not copied, or no more."""
        place = self._places.get(shard)
        if place is None:
            self._look()
            place = self._places.get(shard)
        if place is None:
            return None
        try:
            blob = self._files[place[0]].read(size, place[1] + offset)
        except OSError:  # the file was removed before it was opened here, or the disk fails
            self._forget(place[0])
            return None
        return blob if len(blob) == size else None

    def _look(self) -> None:
        """Take notice of windows that came and went, every few seconds."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        there = {path.stem: path for path in self._folder.glob("*.json")}
        for name in self._files.keys() - there.keys():
            self._forget(name)
        for name in there.keys() - self._files.keys():
            with suppress(OSError, ValueError):
                begins = read_json(there[name])
                self._files[name] = PatientFile(self._folder / f"{name}.tars")
                self._places |= {int(shard): (name, begin) for shard, begin in begins.items()}

    def _forget(self, name: str) -> None:
        self._places = {shard: place for shard, place in self._places.items() if place[0] != name}
        if name in self._files:
            self._files.pop(name).close()
