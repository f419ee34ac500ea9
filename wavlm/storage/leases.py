"""Leases: a file that exists is held, by the process that it names, for as long as that process renews it.

Trust is in three things that every file system of a cluster has: a hard link to a name that exists fails, a rename is
whole, and a time of change can be set. Kernel locks (flock) are not among them: on a network disk they may do nothing,
hold on one machine only, or be refused. See decision 0048.

- A holder sets its file's time every few seconds.
- A holder of this machine has ended if the kernel says so, and holds for as long as it runs, however busy it is.
- A holder of another machine has ended if its file did not change in `LEASE_SECONDS` of looking. Only time in which the
  disk answered counts, and only this process's clock.
- Of several that find an ended holder one removes its file: who makes the link that is named after that hold.
- A holder that was taken for ended, as after an hour of suspension, learns it: `Lease.is_ours`.
"""

from __future__ import annotations

import errno
import glob
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from wavlm.storage.holders import Holder, describe_self, parse_holder, read_holder

ASIDE = ".gone"  # ends the name of a file that is being removed
BEAT_SECONDS = 10.0
LEASE_SECONDS = 90.0
MOST_PER_LOOK_SECONDS = 6.0  # between two looks; a longer gap was a disk that did not answer, or this process asleep
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)  # FAT, some FUSE and SMB

logger = logging.getLogger(__name__)


@dataclass
class Lease:
    """A file that this process holds until `release`."""

    path: Path
    token: str
    pid: int = field(default_factory=os.getpid)
    is_lost: bool = False
    misses: int = 0  # beats in a row that found another holder's file, or none
    on_lost: Callable[[], object] = lambda: None  # called in the thread that beats

    @property
    def is_ours(self) -> bool:
        """Whether the file still names this hold. Raises OSError if the disk does not answer: then nobody knows."""
        try:
            return not self.is_lost and parse_holder(self.path.read_bytes()).token == self.token
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """End the hold, also one that was lost. A forked child ends nothing.

        Who removes an ended holder's file may have just renamed ours instead, and is about to put it back. So the file
        is looked for under that name, too, and then once more in its place: else it would hold for ever.
        """
        _beats.end(self)
        if self.pid != os.getpid():
            return
        self._remove(self.path)
        for aside in self.path.parent.glob(f"{glob.escape(self.path.name)}.*{ASIDE}"):
            self._remove(aside)
        self._remove(self.path)

    def _remove(self, file: Path) -> None:
        found = read_holder(file)
        if found is not None and found.token == self.token:
            file.unlink(missing_ok=True)


def take(path: Path) -> Lease | None:
    """Hold a file, if nobody does. Raises OSError if the folder cannot be written."""
    token = uuid.uuid4().hex
    if not _create(path, token):
        return None
    lease = Lease(path, token)
    _beats.begin(lease)
    return lease


def find_holder(path: Path) -> Holder | None:
    """Who holds a file; None if nobody does. The file of one that has ended is removed."""
    found = read_holder(path)
    if found is None:
        _looks.forget(path)
        return None
    if not found.has_ended and (found.is_here or not _looks.has_ended(path, found)):
        return found
    if not _remove_ended(path, found):
        return read_holder(path)
    _looks.forget(path)
    logger.info("%s has ended without letting go; taken over: %s", found.text, path)
    return None


def is_undecided(path: Path, holder: Holder, since: tuple[str, int] | None) -> bool:
    """Whether a holder of another machine has given no sign of life since its state was `since` (`state_of`)."""
    return not holder.is_here and since is not None and state_of(path, holder) == since


def state_of(path: Path, holder: Holder) -> tuple[str, int] | None:
    """What changes with every heartbeat of a holder; None if its file has gone."""
    try:
        return holder.token, path.stat().st_mtime_ns
    except OSError:
        return None


def _create(path: Path, token: str) -> bool:
    """Make a file that did not exist, whole from its first moment; False if it exists."""
    new = path.with_name(f"{path.name}.{token}.new")
    try:
        new.write_text(describe_self(token))
        try:
            os.link(new, path)
        except FileExistsError:
            return new.stat().st_nlink > 1  # an NFS server that did it, and whose answer was lost
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _create_directly(path, token)
        return True
    finally:
        new.unlink(missing_ok=True)


def _create_directly(path: Path, token: str) -> bool:
    try:
        with path.open("x") as file:
            file.write(describe_self(token))
    except FileExistsError:
        return False
    return True


def _remove_ended(path: Path, ended: Holder) -> bool:
    """Remove the file of a holder that has ended, unless another process does so or it is somebody else's by now.

    The right to remove it is a file that names the hold, so that nobody removes the file of the next holder.
    """
    right = path.with_name(f"{path.name}.{ended.token or 'unknown'}.dead")
    if not _create(right, uuid.uuid4().hex):
        remover = read_holder(right)
        if remover and (remover.has_ended or (not remover.is_here and _looks.has_ended(right, remover))):
            right.unlink(missing_ok=True)  # it died while it removed; the next look tries again
        return False
    try:
        found = read_holder(path)
        if found is None or found.token != ended.token:
            return found is None
        gone = right.with_suffix(ASIDE)
        path.rename(gone)
        taken = read_holder(gone)
        if taken and taken.token != ended.token:  # in the moment since it was read
            with suppress(FileExistsError):
                os.link(gone, path)
        gone.unlink(missing_ok=True)
    except FileNotFoundError:  # it was let go
        return not path.exists()
    finally:
        right.unlink(missing_ok=True)
    return True


@dataclass
class _Sighting:
    state: tuple[str, int]
    at: float
    silent_seconds: float = 0.0


@dataclass
class _Looks:
    """What this process has seen of the files of others, over many attempts to get them."""

    _seen: dict[Path, _Sighting] = field(default_factory=dict)
    _busy: threading.Lock = field(default_factory=threading.Lock)

    def has_ended(self, path: Path, holder: Holder) -> bool:
        """Whether a file has stayed as it is for as long as a lease lasts."""
        state, now = state_of(path, holder), time.monotonic()
        if state is None:
            return False
        with self._busy:
            seen = self._seen.get(path)
            if seen is None or seen.state != state:
                self._seen[path] = _Sighting(state, now)
                return False
            seen.silent_seconds += min(now - seen.at, MOST_PER_LOOK_SECONDS)
            seen.at = now
            return seen.silent_seconds >= LEASE_SECONDS

    def forget(self, path: Path) -> None:
        with self._busy:
            self._seen.pop(path, None)


class _Beats:
    """The thread that renews what this process holds. A forked child holds nothing."""

    def __init__(self) -> None:
        self.reset()
        os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        self._held: dict[str, Lease] = {}
        self._busy = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self, lease: Lease) -> None:
        with self._busy:
            self._held[lease.token] = lease
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="leases", daemon=True)
                self._thread.start()

    def end(self, lease: Lease) -> None:
        with self._busy:
            self._held.pop(lease.token, None)

    def _beat(self) -> None:
        while True:
            time.sleep(BEAT_SECONDS)
            with self._busy:
                held = list(self._held.values())
                if not held:
                    self._thread = None
                    return
            for lease in held:
                _renew(lease)


def _renew(lease: Lease) -> None:
    try:
        if lease.is_ours:
            os.utime(lease.path)
            lease.misses = 0
            return
        lease.misses += 1
    except OSError:  # the disk does not answer, or a removal was undone in this moment
        return
    if lease.misses == 2 and lease.token in _beats._held:  # noqa: SLF001 - our own
        lease.is_lost = True
        logger.error("this process was taken for ended, and lost a lock that it held; at %s", lease.path)
        lease.on_lost()


_looks = _Looks()
_beats = _Beats()
