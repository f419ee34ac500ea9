"""A bounded cache of a mirror's objects on this machine's disk, by content: `<folder>/<sha256>`.

An object is fetched once, whoever wants it: by one process, while the others wait. It appears when it is whole and has
its digest. Before it is fetched, what was opened longest ago goes, until all fits. Who has an object open keeps its
bytes until it is closed.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from wavlm.errors import CannotWriteError, UsageError
from wavlm.storage.mirror.mirror import Mirror
from wavlm.storage.mirror.patience import PATIENCE

SLOTS = 4  # objects that are fetched at once, by all processes of a machine
ATTEMPTS = 5  # to open what was fetched before others push it out
RESERVED, ROOM_LOCK = ".reserved", "room.lock"
LOOK_SECONDS = 0.2


def object_key(sha256: str) -> str:
    """The key of a file's bytes in a mirror."""
    return f"objects/{sha256[:2]}/{sha256}"


@dataclass(frozen=True)
class ObjectCache:
    """Objects of one mirror in a folder, of at most so many bytes. May be used by many processes and threads."""

    folder: Path
    most_bytes: int
    mirror: str

    def open(self, sha256: str, num_bytes: int) -> int:
        """A file descriptor of an object, for reading. Fetches it if it is not here.

        Raises what `Mirror.fetch` raises, UsageError (CACHE_TOO_SMALL) and CannotWriteError.
        """
        for _ in range(ATTEMPTS):
            with suppress(FileNotFoundError):
                handle = os.open(self.folder / sha256, os.O_RDONLY | os.O_CLOEXEC)
                os.utime(handle)  # what was opened last goes last
                return handle
            self.fetch(sha256, num_bytes)
        raise CannotWriteError(
            "CACHE_TOO_SMALL",
            f"an object was pushed out {ATTEMPTS} times before it could be opened; at {self.folder}; give the cache "
            "more room: --cache-gigabytes",
        )

    def fetch(self, sha256: str, num_bytes: int) -> bool:
        """See to it that an object is here; whether it was fetched now."""
        path = self.folder / sha256
        with suppress(FileNotFoundError):
            os.utime(path)  # who sees to it will open it soon
            return False
        if num_bytes > self.most_bytes:
            raise UsageError(
                "CACHE_TOO_SMALL",
                f"one object has {num_bytes} bytes, the cache may have {self.most_bytes}; at {self.folder}; give it "
                "more room: --cache-gigabytes",
            )
        with _locked(self._slot(sha256)):
            if path.is_file():
                return False
            with self._reserve(path, num_bytes):
                open_mirror(self.mirror).fetch(object_key(sha256), path, sha256, num_bytes)
        return True

    @contextmanager
    def _reserve(self, path: Path, num_bytes: int) -> Iterator[None]:
        """Make room, and count the bytes that are still to come. Of what is fetched in this slot there is no other."""
        reserved = path.with_name(path.name + RESERVED)
        ours = [left for left in self.folder.glob(f"*{RESERVED}") if self._slot(left.name) == self._slot(path.name)]
        for left in (*ours, *self.folder.glob(f".{path.name}.*.partial")):
            left.unlink(missing_ok=True)  # of an attempt that was killed
        while True:
            with _locked(self.folder / ROOM_LOCK):
                if self._make_room(num_bytes):
                    with reserved.open("wb") as file:
                        file.truncate(num_bytes)  # a hole: it takes no room
                    break
            self._drop_stale(path)
            time.sleep(LOOK_SECONDS)  # what others fetch takes all there is
        try:
            yield
        finally:
            reserved.unlink(missing_ok=True)

    def _make_room(self, num_bytes: int) -> bool:
        """Delete what was opened longest ago until so many bytes fit; nothing if they do not fit. Whether they do."""
        every = list(self._list())
        held = sorted((item.st_mtime_ns, item.st_size, path) for path, item in every if path.suffix != RESERVED)
        total = num_bytes + sum(item.st_size for _, item in every)
        if total - sum(size for _, size, _ in held) > self.most_bytes:
            return False
        for _, size, path in held:
            if total > self.most_bytes:
                path.unlink(missing_ok=True)
                total -= size
        return True

    def _drop_stale(self, path: Path) -> None:
        """Drop what fetches have reserved that were killed: nobody holds their slot. Ours, of `path`, is held by us."""
        for reserved in self.folder.glob(f"*{RESERVED}"):
            slot = self._slot(reserved.name)
            if slot != self._slot(path.name):
                with suppress(BlockingIOError), _locked(slot, fcntl.LOCK_NB):
                    reserved.unlink(missing_ok=True)

    def _slot(self, sha256: str) -> Path:
        return self.folder / f"slot-{int(sha256[:8], 16) % SLOTS}.lock"

    def _list(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self.folder.iterdir():
            if len(path.name.removesuffix(RESERVED)) == 64:
                with suppress(FileNotFoundError):
                    yield path, path.stat()


@contextmanager
def _locked(path: Path, flags: int = 0) -> Iterator[None]:
    """Hold a lock of the kernel, which frees it when its holder dies: the cache lies on a disk of this machine.

    Who waits waits for a transfer, which has time limits. With LOCK_NB nobody waits: BlockingIOError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | flags)
        yield
    finally:
        os.close(handle)


@cache
def open_mirror(address: str) -> Mirror:
    """One courier per process that fetches, however many caches it opens."""
    return Mirror(address, PATIENCE)
