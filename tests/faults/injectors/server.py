"""Promise: a run outlives its own Prefect server, or ends with a code; what it made is whole.

Injection: a signal to the server that `wavlm run` has started, at a random moment after the first file of a phase.
Options: `signal` (SIGKILL; SIGSTOP, after which it hangs), `every` (1: each server that takes its place, too),
`seconds` (after which a server that hangs goes on; 0: never), `when`, `within` and `kind` as for signals to a run. The
point is the seed.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import suppress

from tests.faults.catalogue import Row
from tests.faults.injectors.signals import end_of, fresh_from, run_again, start, wait_for
from tests.faults.scene import Scene
from tests.faults.trial import PROC, processes_of, promise

CODED = {65, 69, 71, 73, 75, 77}
MODULE = b"tasks.orchestration.server"
# A request to a server that hangs has a minute, and is sent again: as long as that no trial may take.
QUICK = {"PREFECT_API_REQUEST_TIMEOUT": "3", "PREFECT_CLIENT_MAX_RETRIES": "2"}
LOOK_SECONDS = 0.1


def count(scene: Scene, row: Row) -> int:
    """Any number: each seed is another moment."""
    return 0


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Start, wait for the phase, send, look, run again, compare."""
    fresh_from(scene, str(row.options["kind"]))
    number = signal.Signals[str(row.options["signal"])]
    lasting = bool(row.options.get("every")) or (number == signal.SIGSTOP and not row.options.get("seconds"))
    process = start(scene, **(QUICK if number == signal.SIGSTOP else {}))
    wait_for(process, scene.store, str(row.options["when"]))
    time.sleep(random.Random(point).uniform(0, int(str(row.options["within"])) / 1000))  # noqa: S311 - to be repeated
    sent = _send(process.pid, number)
    if row.options.get("every"):
        sent += _send_always(process, number)
    elif seconds := int(str(row.options.get("seconds", 0))):
        time.sleep(seconds)
        _send(process.pid, signal.SIGCONT)
    code, said, _ = end_of(process, scene)
    allowed = {0, *CODED} if lasting else {0}
    promise(code in allowed, f"the run ended with {code}: {said[-1500:]}")
    run_again(scene, as_whole=False)
    return int(sent > 0), f"{number.name} to {sent} servers: the run ended with {code}"


def _send_always(process: subprocess.Popen[bytes], number: signal.Signals) -> int:
    """Send it to every server until the run ends or has got no other one for ten seconds; to how many."""
    sent, last = 0, time.monotonic()
    while process.poll() is None and time.monotonic() < last + 10:
        if found := _send(process.pid, number):
            sent, last = sent + found, time.monotonic()
        time.sleep(LOOK_SECONDS)
    return sent


def _send(session: int, number: signal.Signals) -> int:
    """Send a signal to the servers of a run; to how many."""
    servers = []
    for process in processes_of(session):
        with suppress(OSError):
            if MODULE in (PROC / str(process) / "cmdline").read_bytes().split(b"\0"):
                os.kill(process, number)
                servers.append(process)
    return len(servers)
