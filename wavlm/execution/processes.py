"""End child processes when the process that started them dies, even by SIGKILL."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def tie_to_parent(number: signal.Signals) -> None:
    """Ask the kernel to send this signal to this process when its parent dies.

    Works on Linux only; elsewhere this does nothing. The parent may have died before the call, so compare
    `os.getppid()` with its id afterwards. Raises OSError if the kernel refuses.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")


def die_with_parent(parent: int) -> None:
    """Make this worker die with its parent, whose process id is `parent`.

    On Linux the kernel kills the worker. Elsewhere a worker without a parent ends when its call queue breaks.
    An interrupt (SIGINT) ends the worker without a traceback.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if not sys.platform.startswith("linux"):
        return
    tie_to_parent(signal.SIGKILL)
    if os.getppid() != parent:  # the parent died before the call above
        os.kill(os.getpid(), signal.SIGKILL)
