"""A disk that does not answer any more is named within two minutes, and is not waited for without end.

A write to such a disk never returns, and no signal ends it. So a thread of its own asks the disk, too: it flushes the
file of the lock, whose time the lease renews. What hangs there hangs for the work. The work goes on when the disk
answers again; after a quarter of an hour the process ends, so that a scheduler sees it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from wavlm.errors import EXIT_STOPPED, HungError
from wavlm.storage.files import sync

PROBE_SECONDS = 15.0
LOOK_SECONDS = 5.0
SILENT_SECONDS = 60.0  # without an answer, after which it is said
GIVE_UP_SECONDS = 900.0  # a file server that is started again takes minutes
LAST_WORDS_SECONDS = 5.0  # the log may lie on the same disk
SILENT = (
    "the disk has not answered for %.0f s: the work goes on when it does, and ends in %.0f s if it does not; at %s; "
    "see to the disk or its server"
)

log = logging.getLogger(__name__)


@contextmanager
def watch_disk(lock: Path) -> Iterator[None]:
    """While the block runs, say so if the disk of a lock's file does not answer; end this process with 75 at last.

    The file need not be there: to look for it asks the disk as well.
    """
    ended = threading.Event()
    threading.Thread(target=_watch, args=(lock, ended), name="disk-watch", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _watch(lock: Path, ended: threading.Event) -> None:
    while not ended.wait(PROBE_SECONDS):
        try:
            probe = _aside(lambda: _ask(lock))
        except RuntimeError:  # no thread can be started now: the next look may have one
            continue
        waited = _wait(probe, SILENT_SECONDS, ended)
        if not probe.is_alive() or ended.is_set():
            continue
        left = GIVE_UP_SECONDS - SILENT_SECONDS
        _say(SILENT, waited, left, lock)
        waited += _wait(probe, left, ended)
        if not probe.is_alive():
            _say("the disk answers again, after %.0f s; at %s", waited, lock)
        elif not ended.is_set():
            _end(lock, waited)


def _wait(probe: threading.Thread, seconds: float, ended: threading.Event) -> float:
    """Wait for an answer for so long; returns how long. An hour in which this process was stopped is one look."""
    waited = 0.0
    while probe.is_alive() and not ended.is_set() and waited < seconds:
        probe.join(LOOK_SECONDS)
        waited += LOOK_SECONDS
    return waited


def _ask(lock: Path) -> None:
    with suppress(OSError):  # an answer, too
        sync(lock)


def _say(message: str, *values: object) -> None:
    with suppress(RuntimeError):  # no thread can be started
        _aside(partial(log.warning, message, *values))


def _aside(work: Callable[[], object]) -> threading.Thread:
    """Begin something that may never end."""
    thread = threading.Thread(target=work, name="disk-watch-aside", daemon=True)
    thread.start()
    return thread


def _end(lock: Path, waited: float) -> None:
    error = HungError(
        "DISK_HUNG",
        f"the disk did not answer for {waited:.0f} s; at {lock}; see to the disk or its server, then run the same "
        "command again: it goes on from what is complete",
    )
    with suppress(RuntimeError):  # no thread can be started
        _aside(lambda: os.write(2, f"{error}\n".encode())).join(LAST_WORDS_SECONDS)
    os._exit(EXIT_STOPPED)
