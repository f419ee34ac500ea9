"""What a worker of a cluster does: some parts, one after the other; and none if it is not like the process that asks.

A worker runs for weeks and may have other code, other libraries or another disk than the process that asks: each of
these would make other bytes, or make them where nobody looks. The check is made once per worker and run.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import pickle
import platform
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import wavlm
from wavlm.errors import UsageError
from wavlm.execution.attempts import Outcome, attempt_for_another

BATCH_SECONDS = 60.0  # after which no further part is begun: the scheduler takes a silent worker for lost in minutes
# What decides bytes, or how the two sides talk.
LIBRARIES = (
    "torch", "numpy", "soundfile", "soxr", "pyarrow", "faiss-cpu", "webdataset", "miniaudio", "av", "webrtcvad-wheels",
    "distributed", "dask", "cloudpickle", "msgpack",
)  # fmt: skip


@dataclass(frozen=True)
class Likeness:
    """What a worker must have in common with the process that asks."""

    versions: Mapping[str, str]
    code: str  # digest of our own source
    sight: Path  # a file in the store that the process that asks has just written
    token: str  # its text; also the name of the run

    @classmethod
    def here(cls, sight: Path, token: str) -> Likeness:
        return cls(library_versions(), digest_code(), sight, token)


@dataclass(frozen=True)
class PartsBatch:
    """Parts for one worker, pickled: a scheduler passes them on and does not look into them."""

    likeness: Likeness
    numbers: tuple[int, ...]
    payload: bytes  # of the function, its parts, and what prepares a worker


@dataclass(frozen=True)
class BatchDone:
    """How parts of a batch ended, by number. Those that are missing were not begun."""

    outcomes: tuple[tuple[int, Outcome[Any]], ...]
    seconds: float


def do_batch(batch: PartsBatch, num_threads: Callable[[], int] = lambda: 1) -> BatchDone:
    """Do parts of a batch until `BATCH_SECONDS` are over, at least one. Raises UsageError (CLUSTER_UNLIKE)."""
    began = time.monotonic()
    _check(batch.likeness, num_threads)
    work, parts, prepare = pickle.loads(batch.payload)  # noqa: S301 - of the process that asks, whose code this is
    if prepare is not None:
        _prepare(prepare, batch.likeness.token)
    outcomes: list[tuple[int, Outcome[Any]]] = []
    for number, part in zip(batch.numbers, parts, strict=True):
        if outcomes and time.monotonic() - began >= BATCH_SECONDS:
            break
        outcomes.append((number, attempt_for_another(work, part)))
    return BatchDone(tuple(outcomes), time.monotonic() - began)


def library_versions() -> dict[str, str]:
    """Versions of Python and of what decides bytes."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


@cache
def digest_code() -> str:
    """The digest of our own source, as it lies on the disk of this machine."""
    root = Path(wavlm.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


_checked: set[str] = set()  # tokens of runs that this worker may work for
_prepared: dict[str, int] = {}  # handles of the numbers that this worker has taken, by the token of the run


def _check(likeness: Likeness, num_threads: Callable[[], int]) -> None:
    if likeness.token in _checked:
        return
    here = library_versions()
    if other := {name: have for name, have in here.items() if have != likeness.versions.get(name)}:
        name, have = next(iter(other.items()))
        raise _unlike(
            f"it has {name} {have}, expected {likeness.versions.get(name)}", "install the same versions there"
        )
    if digest_code() != likeness.code:
        raise _unlike("its code of this pipeline is another one", "update it, and start the workers again")
    try:
        found = likeness.sight.read_text()
    except OSError as error:
        found = str(error)
    if found != likeness.token:
        raise _unlike(f"it does not see the store: {likeness.sight}: {found[:200]}", "mount the same disk there")
    if (threads := num_threads()) != 1:
        raise _unlike(f"it has {threads} threads", "start workers with --nthreads 1")
    multiprocessing.current_process().daemon = False  # a part decodes in a child of its own, behind a fence
    _checked.add(likeness.token)


def _unlike(what: str, advice: str) -> UsageError:
    return UsageError("CLUSTER_UNLIKE", f"a worker cannot do this work: {what}; at {socket.gethostname()}; {advice}")


def _prepare(prepare: Callable[[int], None], token: str) -> None:
    """Prepare this worker, once per run, with the first number that no other worker of this machine has."""
    if token in _prepared:
        return
    folder = Path(tempfile.gettempdir()) / f"wavlm-workers-{os.getuid()}-{token}"
    folder.mkdir(mode=0o700, exist_ok=True)
    number = 0
    while (handle := _lock(folder / str(number))) is None:
        number += 1
    _prepared[token] = handle
    prepare(number)


def _lock(path: Path) -> int | None:
    """Hold a file on this machine's own disk for as long as this process lives; None if another process does."""
    import fcntl

    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
