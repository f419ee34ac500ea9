"""The sign that objects of a mirror are being deleted, and what a push does while it stands there.

    <mirror>/artifacts/zz-gc/<token>.json

Objects come before their entry. So there is a time in which a push relies on objects that nobody names: its own, which
are young, and old ones that it found there and did not send again. House-keeping

1. writes the sign, which is the last name in a listing of all entries: where it is seen, no page of it was lost,
2. reads all entries, and again before it deletes,
3. deletes old objects that none of them names, and removes the sign.

A push writes its entry, and then looks for signs. If there is none, whoever begins to delete later reads the entry. If
there is one, the push waits until it is gone, and sends again what is missing. The store has to show what was written
to all who ask afterwards, as S3 does.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from wavlm.errors import LockedError
from wavlm.pipeline.mirror.entry import ENTRIES
from wavlm.storage.digested import to_digested
from wavlm.storage.mirror.mirror import Mirror

SIGNS = f"{ENTRIES}/zz-gc"
SIGN_SECONDS = 3600.0  # after which who wrote a sign has stopped deleting
SPARE_SECONDS = 600.0  # for a request that is under way then
LOOK_SECONDS = 2.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sign:
    """Our sign."""

    key: str
    written_unix: float  # by the clock of the store
    ends_at: float  # by the clock of this machine, from its start

    @property
    def holds(self) -> bool:
        """Whether we may still delete."""
        return time.monotonic() < self.ends_at


@contextmanager
def collecting(mirror: Mirror) -> Iterator[Sign]:
    """Hold the sign while the block runs. Raises LockedError if somebody else does, and what `Mirror` raises."""
    key, began = f"{SIGNS}/{secrets.token_hex(8)}.json", time.monotonic()
    mirror.replace(key, to_digested({"host": socket.gethostname(), "pid": os.getpid()}).encode())
    try:
        written = mirror.written_unix(key) or 0.0
        for other, age in _others(mirror, written, key):
            if age <= SIGN_SECONDS + SPARE_SECONDS:
                raise LockedError(
                    "LOCKED",
                    f"objects of this mirror are being deleted, for {age:.0f} s by now; at {mirror.address}/{other}; "
                    f"wait until that is done, or for {SIGN_SECONDS + SPARE_SECONDS - age:.0f} s if it was killed",
                )
            mirror.delete(other)
        yield Sign(key, written, began + SIGN_SECONDS)
    finally:
        mirror.delete(key)


def wait_for_collection(mirror: Mirror, entry_key: str) -> None:
    """Wait until nobody deletes objects who may not have seen an entry that was just written.

    Raises what `Mirror` raises.
    """
    began, is_said = time.monotonic(), False
    while others := _others(mirror, mirror.written_unix(entry_key) or 0.0):
        # One that was killed stays. By the clock of the store it was old when we wrote, or grows old now.
        alive = [key for key, age in others if age + time.monotonic() - began <= SIGN_SECONDS + SPARE_SECONDS]
        if not alive:
            return
        if not is_said:
            logger.info("waiting: objects of the mirror are being deleted; at %s/%s", mirror.address, alive[0])
            is_said = True
        time.sleep(LOOK_SECONDS)


def _others(mirror: Mirror, now_unix: float, own: str = "") -> list[tuple[str, float]]:
    """The signs of others, and how old they are at a time of the store's clock."""
    return [(key, max(0.0, now_unix - written)) for key, _, written in mirror.list_dated(SIGNS) if key != own]
