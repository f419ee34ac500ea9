"""A disk that does not answer any more is named within two minutes, and is not waited for without end.

A look at such a disk, or a write to it, never returns, and no signal ends it. So a thread of its own asks the disk,
too. What hangs there hangs for the work. The work goes on when the disk answers again; after a quarter of an hour the
process ends, so that a scheduler sees it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
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
_changing = threading.Lock()
_ends: dict[Path, threading.Event] = {}  # of the paths that are watched
_users: Counter[Path] = Counter()


@contextmanager
def watch_disk(path: Path, *, flush: bool = True) -> Iterator[None]:
    """While the block runs, say so if the disk of a file or folder does not answer; end this process with 75 at last.

    path: a store, a folder of recordings, or the file of a lock that is renewed. It need not be there: to look for it
    asks the disk as well. A path that is watched already is not watched twice.
    flush: it is also opened and flushed, which asks more of a disk; but a pipe would never open.
    """
    with _changing:
        _users[path] += 1
        if _users[path] == 1:
            _ends[path] = threading.Event()
            threading.Thread(target=_watch, args=(path, _ends[path], flush), name="disk-watch", daemon=True).start()
    try:
        yield
    finally:
        with _changing:
            _users[path] -= 1
            if not _users[path]:
                _ends.pop(path).set()


def _watch(path: Path, ended: threading.Event, flush: bool) -> None:  # noqa: FBT001 - of a thread
    while not ended.wait(PROBE_SECONDS):
        try:
            probe = _aside(partial(_ask, path, flush=flush))
        except RuntimeError:  # no thread can be started now: the next look may have one
            continue
        waited = _wait(probe, SILENT_SECONDS, ended)
        if not probe.is_alive() or ended.is_set():
            continue
        left = GIVE_UP_SECONDS - SILENT_SECONDS
        _say(SILENT, waited, left, path)
        waited += _wait(probe, left, ended)
        if not probe.is_alive():
            _say("the disk answers again, after %.0f s; at %s", waited, path)
        elif not ended.is_set():
            _end(path, waited)


def _wait(probe: threading.Thread, seconds: float, ended: threading.Event) -> float:
    """Wait for an answer for so long; returns how long. An hour in which this process was stopped is one look."""
    waited = 0.0
    while probe.is_alive() and not ended.is_set() and waited < seconds:
        probe.join(LOOK_SECONDS)
        waited += LOOK_SECONDS
    return waited


def _ask(path: Path, *, flush: bool) -> None:
    with suppress(OSError):  # an answer, too
        os.statvfs(path)  # a network disk answers much else from its memory, but this only by its server
        if flush:
            sync(path)


def _say(message: str, *values: object) -> None:
    with suppress(RuntimeError):  # no thread can be started
        _aside(partial(log.warning, message, *values))


def _aside(work: Callable[[], object]) -> threading.Thread:
    """Begin something that may never end."""
    thread = threading.Thread(target=work, name="disk-watch-aside", daemon=True)
    thread.start()
    return thread


def _end(path: Path, waited: float) -> None:
    error = HungError(
        "DISK_HUNG",
        f"the disk did not answer for {waited:.0f} s; at {path}; see to the disk or its server, then run the same "
        "command again: it goes on from what is complete",
    )
    with suppress(RuntimeError):  # no thread can be started
        _aside(lambda: os.write(2, f"{error}\n".encode())).join(LAST_WORDS_SECONDS)
    os._exit(EXIT_STOPPED)
