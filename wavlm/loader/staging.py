"""Windows on a disk of the machine's own: read from the store once and in sequence, and then in any order.

One process of a machine copies the segments of a window, one behind the other, into one file. The window that is
trained on and the next one are there; those behind are removed. All loaders of the machine read from these files. What
is not there yet, or no more, or does not decode, they read from the store. So nothing waits for a copy, and no copy
that fails ends a training.

    FOLDER/<epoch>-<window>.tars   the segments of a window
    FOLDER/<epoch>-<window>.npy    for each segment how far its place is from that in its tar; written last
"""

from __future__ import annotations

import logging
import shutil
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from threading import Thread, current_thread

import numpy as np
import numpy.typing as npt

from wavlm.errors import CodedError
from wavlm.shards.reader import most_open_files
from wavlm.storage.elsewhere import read_range
from wavlm.storage.files import open_atomic
from wavlm.storage.passing import PatientFile
from wavlm.storage.pieces import PIECE_BYTES

log = logging.getLogger(__name__)

Places = npt.NDArray[np.int64]  # (2, segments) in order of their numbers

BLOCK_BYTES = 4 * PIECE_BYTES
LOOK_SECONDS = 2.0  # between two looks for windows that were copied meanwhile
KEPT_WINDOWS = 3  # the one that is trained on, the next one, and the one before: other ranks may still be there
FREE_SHARE = 0.9  # of the free space that copies may take


@dataclass(frozen=True)
class TarSegment:
    """A run of utterances of a tar."""

    number: int  # through all tars of all corpora
    path: Path  # of the tar
    begin: int
    size_bytes: int


class Stager:
    """Copies windows in the background, in the order in which they are needed. Of one process of a machine."""

    def __init__(self, folder: Path, describe: Callable[[Sequence[int]], list[TarSegment]]) -> None:
        """describe: some segments, given their numbers."""
        self._folder, self._describe = folder, describe
        self._asked: list[str] = []
        self._tars: OrderedDict[Path, PatientFile] = OrderedDict()
        self._most_open = most_open_files(1)
        self._queue: SimpleQueue[tuple[str, Sequence[int]] | None] = SimpleQueue()
        self._is_closed = False
        # The end of a training does not wait for a copy.
        self._thread = Thread(target=self._work, name="windows", daemon=True)
        self._thread.start()

    def need(self, windows: Sequence[tuple[str, Sequence[int]]]) -> None:
        """Copy these windows, given by name and segments, if they are not there; remove those of long ago."""
        for name, segments in windows:
            if name not in self._asked:
                self._asked.append(name)
                self._queue.put((name, segments))
        for path in self._folder.glob("*.npy"):
            if path.stem not in self._asked[-KEPT_WINDOWS:]:
                _remove(self._folder, path.stem)

    def close(self) -> None:
        """End the copy that is under way. The windows that are there stay."""
        self._is_closed = True
        self._queue.put(None)
        if current_thread() is not self._thread:  # whoever is collected as garbage may be so in any thread
            self._thread.join()

    def _work(self) -> None:
        while (window := self._queue.get()) is not None and not self._is_closed:
            self._copy(*window)

    def _copy(self, name: str, numbers: Sequence[int]) -> None:
        """Copy one window. A failure costs speed and nothing else."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            segments = self._describe(numbers)
            if (self._folder / f"{name}.npy").exists() or not self._has_room(segments):
                return
            places = self._copy_segments(segments, self._folder / f".{name}.partial")
            if not self._is_closed:
                (self._folder / f".{name}.partial").rename(self._folder / f"{name}.tars")
                with open_atomic(self._folder / f"{name}.npy") as file:
                    np.save(file, places, allow_pickle=False)
        except (OSError, CodedError) as error:
            log.warning("the shards of a window are read from the store: %s; at %s", error, self._folder)
            (self._folder / f".{name}.partial").unlink(missing_ok=True)

    def _has_room(self, segments: Sequence[TarSegment]) -> bool:
        needed, free = sum(segment.size_bytes for segment in segments), shutil.disk_usage(self._folder).free
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

    def _copy_segments(self, segments: Sequence[TarSegment], path: Path) -> Places:
        """Copy them one behind the other; for each its number, and what to add to a place in its tar: (2, segments)."""
        places = []
        with path.open("wb") as file:
            for segment in segments:
                if self._is_closed:
                    break
                places.append((segment.number, file.tell() - segment.begin))
                for begin, end in _cut(segment.begin, segment.begin + segment.size_bytes):
                    file.write(self._read(segment.path, begin, end - begin))
        return np.array(places, np.int64).reshape(-1, 2).T

    def _read(self, path: Path, begin: int, size: int) -> bytes:
        if path in self._tars or path.is_file():
            return self._open(path).read(size, begin)
        return read_range(path.parent, path.name, begin, size)

    def _open(self, path: Path) -> PatientFile:
        """A tar, which stays open: each window has a segment of it."""
        if path not in self._tars:
            if len(self._tars) >= self._most_open:
                self._tars.popitem(last=False)[1].close()
            self._tars[path] = PatientFile(path)
        return self._tars[path]


def _cut(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """A run of bytes in blocks, which end where pieces of a mirror do: so no piece is fetched for two blocks."""
    return pairwise((begin, *range((begin // BLOCK_BYTES + 1) * BLOCK_BYTES, end, BLOCK_BYTES), end))


def _remove(folder: Path, name: str) -> None:
    """Processes that have the file open go on reading it."""
    for path in (folder / f"{name}.npy", folder / f"{name}.tars"):
        with suppress(OSError):
            path.unlink(missing_ok=True)


class StagedWindows:
    """Reads utterances of the windows that are copied. Can be pickled."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._windows: dict[str, tuple[PatientFile, Places]] = {}
        self._looked = -LOOK_SECONDS

    def read(self, segment: int, offset: int, size: int) -> bytes | None:
        """These bytes of the tar that a segment is of, given its number; None if it is not copied, or no more."""
        found = self._find(segment)
        if found is None:
            self._look()
            found = self._find(segment)
        if found is None:
            return None
        name, file, shift = found
        try:
            blob = file.read(size, shift + offset)
        except OSError:  # the file was removed before it was opened here, or the disk fails
            self._forget(name)
            return None
        return blob if len(blob) == size else None

    def _find(self, segment: int) -> tuple[str, PatientFile, int] | None:
        """The window that a segment is in, its file, and what to add to places in the tar."""
        for name, (file, (numbers, shifts)) in self._windows.items():
            at = int(np.searchsorted(numbers, segment))
            if at < len(numbers) and numbers[at] == segment:
                return name, file, int(shifts[at])
        return None

    def _look(self) -> None:
        """Take notice of windows that came and went, every few seconds."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        there = {path.stem: path for path in self._folder.glob("*.npy")}
        for name in self._windows.keys() - there.keys():
            self._forget(name)
        for name in there.keys() - self._windows.keys():
            with suppress(OSError, ValueError):
                places = np.load(there[name], allow_pickle=False)
                self._windows[name] = PatientFile(self._folder / f"{name}.tars"), places

    def _forget(self, name: str) -> None:
        if name in self._windows:
            self._windows.pop(name)[0].close()
