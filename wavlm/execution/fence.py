"""Run functions in a process that can be killed: a limit for code that hangs, a wall against code that crashes.

Decoders are C code that reads files of strangers, from disks that may stop to answer. No Python code can end a call
that hangs in there, and a segmentation fault ends its whole process. So such a function runs in a child process and
sends its results, one after the other. A result counts as a sign of life.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from queue import SimpleQueue
from types import ModuleType
from typing import Any, Literal, ParamSpec, TypeVar

from wavlm.errors import ServiceMissingError, WorkerDiedError
from wavlm.execution.processes import tie_to_parent

STALL_SECONDS = 60.0
START_SECONDS = 300.0  # for a new process, which imports libraries from a disk that may be slow
MAX_STALLS = 5  # in a row: then it is the storage that does not answer, not a file
KILL_SECONDS = 5.0  # what a killed process gets to end; one that waits for a dead mount cannot end

Arguments = ParamSpec("Arguments")
R = TypeVar("R")
Message = tuple[Literal["ready", "item", "end", "error"], Any]


class LostCallError(Exception):
    """A fenced function did not end: it hung and was killed, or it crashed its process."""

    def __init__(self, kind: Literal["stalled", "crashed"], detail: str) -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail


class Fence:
    """A child process for functions that may hang or crash. It is started at the first call, and again after a loss."""

    def __init__(self, stall_seconds: float = STALL_SECONDS, preload: tuple[str, ...] = ()) -> None:
        """`stall_seconds`: longest wait for a result; 0: no child process, and no protection.

        `preload`: modules that a server process imports once, so that a new child starts in 20 ms and not in 0.5 s.
        """
        self.stall_seconds = stall_seconds
        self._preload = preload
        self._child: tuple[ForkServerProcess, Connection] | None = None
        self._stalls = 0

    def iterate(
        self, function: Callable[Arguments, Iterator[R]], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Iterator[R]:
        """What `function(*args)` yields, computed in the child. All can be pickled; no function is one of a script.

        Raises LostCallError if nothing comes for `stall_seconds`, or if the child dies; what the function raises;
        WorkerDiedError if the child is killed from outside, for example because memory ran out; and
        ServiceMissingError (STORAGE_STALLED) if calls stall one after the other.
        """
        if not self.stall_seconds:
            yield from function(*args, **kwargs)
            return
        _, connection = self._child = self._child or self._start()
        try:
            try:
                connection.send((function, args, kwargs))
            except (BrokenPipeError, ConnectionResetError):
                raise self._death() from None
            yield from self._results(connection)
        except BaseException:
            self.close()  # the child may still send results of this call
            raise

    def call(self, function: Callable[Arguments, R], *args: Arguments.args, **kwargs: Arguments.kwargs) -> R:
        """The one result of a function; as `iterate`."""
        (result,) = self.iterate(_yield_result, function, args, kwargs)
        return result

    def close(self) -> None:
        """End the child, whatever it is doing."""
        if self._child is None:
            return
        process, connection = self._child
        self._child = None
        connection.close()
        process.kill()
        process.join(KILL_SECONDS)
        if process.is_alive():  # it waits for a dead mount; the end of this process must not wait for it
            multiprocessing.process._children.discard(process)  # type: ignore[attr-defined] # noqa: SLF001

    def _results(self, connection: Connection) -> Iterator[Any]:
        while True:
            kind, value = self._receive(connection)
            if kind == "item":
                yield value
                continue
            self._stalls = 0
            if kind == "error":
                raise value
            return

    def _receive(self, connection: Connection) -> Message:
        """The next message of the child.

        The wait is counted in short steps and not by a clock, so that a machine that was asleep does not lose a file.
        """
        step = min(1.0, self.stall_seconds)
        for _ in range(max(1, round(self.stall_seconds / step))):
            if connection.poll(step):
                try:
                    message: Message = connection.recv()
                except (EOFError, OSError):
                    raise self._death() from None
                return message
        raise self._stall()

    def _stall(self) -> Exception:
        self._stalls += 1
        if self._stalls >= MAX_STALLS:
            return ServiceMissingError(
                "STORAGE_STALLED",
                f"{self._stalls} files in a row gave no data for {self.stall_seconds:g} s each; in the folder of the "
                "recordings; check the disk or the mount, then run again",
            )
        return LostCallError("stalled", f"no data for {self.stall_seconds:g} s")

    def _death(self) -> Exception:
        assert self._child is not None  # noqa: S101 - it has just been read from
        process, _ = self._child
        process.join(KILL_SECONDS)
        code = process.exitcode
        if code == -signal.SIGKILL:
            return WorkerDiedError(
                "WORKER_DIED",
                "the process that reads audio was killed, or ran out of memory; on this machine; free memory or use "
                "fewer workers, then run again",
            )
        ending = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        return LostCallError("crashed", f"the decoder's process ended with {ending}")

    def _start(self) -> tuple[ForkServerProcess, Connection]:
        """A child from the fork server. A fork of this process could inherit a lock that one of its threads holds."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(self._preload))
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _without_main_module():
            process.start()
        theirs.close()
        if not ours.poll(START_SECONDS) or not _is_ready(ours):
            process.kill()
            raise WorkerDiedError(
                "WORKER_DIED",
                "the process that reads audio did not start; on this machine; check the memory and the limit of "
                "processes, then run again",
            )
        return process, ours


@contextmanager
def open_fence(stall_seconds: float = STALL_SECONDS, preload: tuple[str, ...] = ()) -> Iterator[Fence]:
    """A fence that is closed at the end of the block."""
    fence = Fence(stall_seconds, preload)
    try:
        yield fence
    finally:
        fence.close()


class FencePool:
    """Some fences that threads share: a call takes one that is free."""

    def __init__(self, count: int, stall_seconds: float = STALL_SECONDS, preload: tuple[str, ...] = ()) -> None:
        self._fences = [Fence(stall_seconds, preload) for _ in range(count)]
        self._free: SimpleQueue[Fence] = SimpleQueue()
        for fence in self._fences:
            self._free.put(fence)

    def call(self, function: Callable[Arguments, R], *args: Arguments.args, **kwargs: Arguments.kwargs) -> R:
        """As `Fence.call`."""
        with self._take() as fence:
            return fence.call(function, *args, **kwargs)

    def finish(
        self, function: Callable[Arguments, Iterator[R]], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> R:
        """The last of what `Fence.iterate` gives. The others are signs of life."""
        with self._take() as fence:
            (last,) = deque(fence.iterate(function, *args, **kwargs), maxlen=1)
            return last

    @contextmanager
    def _take(self) -> Iterator[Fence]:
        fence = self._free.get()
        try:
            yield fence
        finally:
            self._free.put(fence)

    def __enter__(self) -> FencePool:
        return self

    def __exit__(self, *_: object) -> None:
        for fence in self._fences:
            fence.close()


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Hide the script that runs, so that a child does not run it again: it needs no function of it."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _yield_result(function: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[R]:
    yield function(*args, **kwargs)


def _is_ready(connection: Connection) -> bool:
    try:
        kind, _ = connection.recv()
    except (EOFError, ConnectionResetError):
        return False
    return bool(kind == "ready")


def _serve(connection: Connection) -> None:
    """The child: compute what is asked for, until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    tie_to_parent(signal.SIGKILL)
    connection.send(("ready", os.getpid()))
    try:
        while True:
            function, args, kwargs = connection.recv()
            _answer(connection, function(*args, **kwargs))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _answer(connection: Connection, results: Iterator[Any]) -> None:
    try:
        for item in results:
            connection.send(("item", item))
    except (BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:  # noqa: BLE001 - it is raised again in the parent
        _send_error(connection, error)
    else:
        connection.send(("end", None))


def _send_error(connection: Connection, error: Exception) -> None:
    text = "".join(traceback.format_exception(error))
    try:
        connection.send(("error", error))
    except Exception:  # noqa: BLE001 - an error that cannot be pickled; its text can
        connection.send(("error", RuntimeError(text)))
