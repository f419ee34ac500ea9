"""A mirror, as everything but the courier sees it: objects by key, with time limits and further attempts.

The first request starts the courier, in each process that asks: one that was forked starts its own.
"""

from __future__ import annotations

import glob
import multiprocessing
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future
from importlib.util import find_spec
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from wavlm.errors import BadDataError, CodedError, ServiceMissingError, UsageError
from wavlm.storage.mirror.address import read_address
from wavlm.storage.mirror.patience import PATIENCE, Patience

SMALL_BYTES = 1 << 20  # the most that `read` reads
LISTING_BYTES = 100_000_000  # of the largest listing: its time limit is that of so many bytes
SPARE_SECONDS = 10.0  # for the courier to say itself that the time is over
AGAIN = {"MIRROR_LOST", "MIRROR_STALLED"}


class Mirror:
    """The objects of a mirror. All methods may be called by many threads, and after a fork.

    They raise ServiceMissingError (MIRROR_LOST, MIRROR_STALLED, ANSWER_TOO_LARGE) after the last attempt, LockedError
    (MIRROR_DENIED) and UsageError (MIRROR_ADDRESS, MIRROR_MISSING).
    """

    def __init__(self, address: str, patience: Patience = PATIENCE) -> None:
        self.address = read_address(address)
        self._patience = patience
        self._courier: _Courier | None = None
        self._lock = Lock()
        self._pid = os.getpid()

    def size_of(self, key: str) -> int | None:
        """Bytes of an object; None if there is none."""
        found: int | None = self._ask("size_of", (key,), 0)
        return found

    def read(self, key: str, most_bytes: int = SMALL_BYTES) -> bytes | None:
        """A small object; None if there is none."""
        found: bytes | None = self._ask("read", (key, most_bytes), most_bytes)
        return found

    def read_range(self, key: str, begin: int, num_bytes: int) -> bytes:
        """So many bytes of an object from a place on. Raises BadDataError (MIRROR_LACKS, MIRROR_DAMAGED)."""
        return bytes(self._ask("read_range", (key, begin, num_bytes), num_bytes))

    def fetch(self, key: str, path: Path, sha256: str, num_bytes: int) -> None:
        """Write an object as a file, which appears whole, with this digest, or not at all.

        Raises BadDataError (MIRROR_LACKS, MIRROR_DAMAGED); the latter if it comes with other bytes twice.
        """
        args = (key, path, sha256, num_bytes)
        try:
            self._ask("fetch", args, num_bytes)
        except BadDataError as error:
            if error.code != "MIRROR_DAMAGED":
                raise
            self._ask("fetch", args, num_bytes)  # what stands between may have changed it on the way
        except ServiceMissingError:
            for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):  # of a courier that was killed
                leftover.unlink(missing_ok=True)
            raise

    def send(self, path: Path, key: str, sha256: str, num_bytes: int) -> None:
        """Write a file as an object, which appears whole, with this digest, or not at all."""
        self._ask("send", (path, key, sha256, num_bytes), num_bytes)

    def is_whole(self, key: str, sha256: str, num_bytes: int) -> bool:
        """Whether an object is there with these bytes. Reads all of it."""
        return bool(self._ask("is_whole", (key, sha256, num_bytes), num_bytes))

    def create(self, key: str, blob: bytes) -> bool:
        """Write a small object unless there is one; whether it was. Read it back: not every store keeps to it."""
        return bool(self._ask("create", (key, blob), len(blob)))

    def replace(self, key: str, blob: bytes) -> None:
        """Write a small object, whatever is there."""
        self._ask("replace", (key, blob), len(blob))

    def list(self, prefix: str) -> list[tuple[str, int]]:
        """Keys and sizes of all objects in a folder, in order."""
        found: list[tuple[str, int]] = self._ask("list", (prefix,), LISTING_BYTES)
        return found

    def list_dated(self, prefix: str) -> Sequence[tuple[str, int, float]]:
        """The same, and when the store says that each was written, in seconds of its own clock."""
        found: Sequence[tuple[str, int, float]] = self._ask("list_dated", (prefix,), LISTING_BYTES)
        return found

    def written_unix(self, key: str) -> float | None:
        """When the store says that an object was written; None if there is none."""
        found: float | None = self._ask("written_unix", (key,), 0)
        return found

    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""
        self._ask("delete", (key,), 0)

    def close(self) -> None:
        """End the courier. The next request starts another one."""
        courier, self._courier = self._courier, None
        if courier and self._pid == os.getpid():
            courier.end()

    def __enter__(self) -> Mirror:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> tuple[str, Patience]:
        return self.address, self._patience

    def __setstate__(self, state: tuple[str, Patience]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def _ask(self, name: str, args: tuple[Any, ...], num_bytes: int) -> Any:
        pause = self._patience.pause_seconds
        for left in reversed(range(self._patience.attempts)):
            try:
                # The client may try again as long as an attempt may last, and the last try then begins.
                return self._start().ask(name, args, 2 * self._patience.seconds_for(num_bytes) + SPARE_SECONDS)
            except CodedError as error:
                if error.code not in AGAIN or not left:
                    raise
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - so that machines do not come at once
            pause *= 4
        raise AssertionError("no attempt was made")

    def _start(self) -> _Courier:
        if self._pid != os.getpid():  # forked: the threads that listen to the courier are the parent's
            self._pid, self._lock, self._courier = os.getpid(), Lock(), None
        with self._lock:
            if self._courier is None or not self._courier.is_alive:
                self._courier = _Courier(self.address, self._patience)
            return self._courier


class _Courier:
    """A running courier, and the requests that it has not answered yet."""

    def __init__(self, address: str, patience: Patience) -> None:
        if find_spec("obstore") is None:
            raise UsageError(
                "PACKAGE_MISSING",
                f"obstore is not installed; at the mirror {address}; install it: pip install obstore",
            )
        self._address = address
        self._pipe, theirs = multiprocessing.Pipe()
        with theirs:
            command = [sys.executable, "-m", "wavlm.storage.mirror.courier", str(theirs.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)  # noqa: S603
        self._waiting: dict[int, Future[Any]] = {}
        self._number, self._lock = 0, Lock()
        self.is_alive = True
        self._pipe.send((address, patience))
        Thread(target=self._listen, daemon=True, name="mirror").start()

    def ask(self, name: str, args: tuple[Any, ...], seconds: float) -> Any:
        """The answer to a request. Raises what the courier raised, MIRROR_STALLED, MIRROR_LOST."""
        future: Future[Any] = Future()
        with self._lock:
            self._number += 1
            self._waiting[self._number] = future
            try:
                self._pipe.send((self._number, name, args))
            except OSError:
                self.is_alive = False
            if not self.is_alive:
                raise self._lost()
        try:
            answer = future.result(seconds)
        except TimeoutError:
            self.end()
            raise ServiceMissingError(
                "MIRROR_STALLED",
                f"no answer in {seconds:.0f} s; at {self._address}; check the network, then run again",
            ) from None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def end(self) -> None:
        """Kill the process; what it has not answered is lost."""
        self.is_alive = False
        self._process.kill()
        self._process.wait()

    def _listen(self) -> None:
        left: list[Future[Any]] = []
        try:
            while True:
                number, answer = self._pipe.recv()
                with self._lock:
                    future = self._waiting.pop(number)
                future.set_result(answer)
        except (EOFError, OSError):
            with self._lock:
                self.is_alive = False
                left = list(self._waiting.values())
                self._waiting.clear()
        self._process.wait()
        self._pipe.close()
        for future in left:
            future.set_result(self._lost())

    def _lost(self) -> ServiceMissingError:
        return ServiceMissingError(
            "MIRROR_LOST",
            "the process that transfers has ended, perhaps because an answer had no end; at "
            f"{self._address}; check the mirror, then run again",
        )
