"""Processes that die with the one that started them, however it dies."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def tie_to_parent(number: signal.Signals) -> None:
    """Have the kernel send this signal when the process that started this one dies.

    On Linux only; elsewhere this does nothing. The parent may have died before: look at its id.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")


def die_with_parent(parent: int) -> None:
    """Linux: the kernel kills this worker when the process that started it dies, even by SIGKILL.

    Elsewhere an orphan ends when its call queue breaks. An interrupt ends it without a traceback.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if not sys.platform.startswith("linux"):
        return
    tie_to_parent(signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call above
        os.kill(os.getpid(), signal.SIGKILL)
