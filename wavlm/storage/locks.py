"""Locks: one writer at a time, or several that share; and who waits is told for whom.

They are leases (`wavlm.storage.leases`), so they hold over machines, on disks on which kernel locks do nothing.
"""

from __future__ import annotations

import glob
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from wavlm.errors import LockedError
from wavlm.storage.holders import SHARED, Holder, note_of
from wavlm.storage.leases import LEASE_SECONDS, Lease, find_holder, is_undecided, state_of, take
from wavlm.storage.passing import read_patiently

RETRY_SECONDS = 0.5
LOOK_SECONDS = 1.0  # many hold a lock for a moment only
OnWait = Callable[[str, float], None]  # the holder, and the seconds waited so far
Attempt = Callable[[], "Lease | Refusal"]


class Refusal(Exception):  # noqa: N818 - a value: who holds a lock, in which file
    """Why a lock was not taken."""

    def __init__(self, note: Path, holder: Holder) -> None:
        super().__init__(holder.text)
        self.note, self.holder = note, holder
        self.state = state_of(note, holder)


@contextmanager
def hold_lock(path: Path, what: str, on_lost: Callable[[], object] = lambda: None) -> Iterator[Lease]:
    """Hold `path` as a lock while the block runs. `what` names in errors what is locked.

    `on_lost` is called, in another thread, if this process was taken for ended and another one holds the lock.

    Raises LockedError, naming the holder's process id and host, if another process holds the lock for more than a
    second. A holder of another machine that has ended is found within `LEASE_SECONDS`.
    """
    with wait_for_lock(path, what, LOOK_SECONDS, lambda *_: None) as lease:
        lease.on_lost = on_lost
        yield lease


@contextmanager
def wait_for_lock(path: Path, what: str, seconds: float, on_wait: OnWait) -> Iterator[Lease]:
    """Like `hold_lock`, but wait up to `seconds` for a lock that another process holds.

    `on_wait` gets the holder, as text, and the seconds waited so far: at once (0), and then each time that the lock
    is tried again. What it raises ends the waiting.
    """

    def explain(refusal: Refusal, waited: float) -> LockedError:
        after = f", also after {waited:.0f} s" if seconds != LOOK_SECONDS else ""
        return LockedError(
            "LOCKED",
            f"{what} is being made by {refusal.holder.text}{after}; at {path}; wait for it or stop it",
        )

    path.parent.mkdir(parents=True, exist_ok=True)
    lease = acquire(lambda: try_alone(path), seconds, explain, on_wait)
    try:
        yield lease
    finally:
        lease.release()


@contextmanager
def hold_share(path: Path, what: str) -> Iterator[Lease]:
    """Hold a lock of `hold_lock` as one of many, who work on the same thing without being in each other's way."""

    def explain(refusal: Refusal, _waited: float) -> LockedError:
        return LockedError(
            "LOCKED", f"{what} is being made by {refusal.holder.text}; at {path}; wait for it or stop it"
        )

    path.parent.mkdir(parents=True, exist_ok=True)
    lease = acquire(lambda: try_shared(path), LOOK_SECONDS, explain)
    try:
        yield lease
    finally:
        lease.release()


def require_held(lease: Lease, what: str) -> None:
    """Raise LockedError (LEASE_LOST) if this process was taken for ended: another one may hold the lock by now.

    Raises ReadLostError (READ_LOST) if the disk does not say so for a minute.
    """
    if not read_patiently(lambda: lease.is_ours, lease.path):
        raise LockedError(
            "LEASE_LOST",
            f"{what} was taken over by another process, which took this one for ended because it gave no sign of life; "
            f"at {lease.path}; see to the disk, or why this machine stood still; run the same command again",
        )


def acquire(
    attempt: Attempt,
    seconds: float,
    explain: Callable[[Refusal, float], LockedError],
    on_wait: OnWait = lambda *_: None,
    retry_seconds: float = RETRY_SECONDS,
) -> Lease:
    """Try until it succeeds, for `seconds`; longer only until it is clear that a holder elsewhere lives."""
    began, waited = time.monotonic(), 0.0
    first: Refusal | None = None
    while True:
        found = attempt()
        if isinstance(found, Lease):
            return found
        first = first or found
        is_unclear = waited <= LEASE_SECONDS + seconds and is_undecided(found.note, found.holder, first.state)
        if waited >= seconds and not is_unclear:
            raise explain(found, waited)
        on_wait(found.holder.text, waited)
        time.sleep(min(retry_seconds, max(0.0, seconds - waited) or retry_seconds))
        waited = time.monotonic() - began


def try_alone(path: Path) -> Lease | Refusal:
    """Take a lock alone, if nobody holds it and nobody shares it."""
    note = note_of(path)
    if (sharer := _find_sharer(path)) or (sharer := _find(note)):
        return sharer
    lease = take(note)
    if lease is None:
        return _find(note) or try_alone(path)
    if sharer := _find_sharer(path):  # one that came in between: it has seen our file, or we see its file
        lease.release()
        return sharer
    return lease


def try_shared(path: Path) -> Lease | Refusal:
    """Take a lock as one of many, if nobody holds it alone."""
    lease = take(path.with_name(f"{path.name}.{uuid.uuid4().hex}{SHARED}"))
    if lease is None:
        raise RuntimeError(f"a name that was just drawn is taken; at {path}")
    if owner := _find(note_of(path)):
        lease.release()
        return owner
    return lease


def find_refusal(path: Path) -> Refusal | None:
    """Who holds a lock, alone or shared; None if nobody does. Files of ended holders are removed."""
    return _find(note_of(path)) or _find_sharer(path)


def find_sharers(path: Path) -> list[Holder]:
    """All who share a lock and live."""
    notes = sorted(path.parent.glob(f"{glob.escape(path.name)}.*{SHARED}"))
    return [holder for note in notes if (holder := find_holder(note))]


def _find(note: Path) -> Refusal | None:
    holder = find_holder(note)
    return Refusal(note, holder) if holder else None


def _find_sharer(path: Path) -> Refusal | None:
    notes = sorted(path.parent.glob(f"{glob.escape(path.name)}.*{SHARED}"))
    return next((found for note in notes if (found := _find(note))), None)
