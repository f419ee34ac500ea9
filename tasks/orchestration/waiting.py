"""Wait, visibly, while another run makes or uses what this one needs, instead of ending with LOCKED."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import httpx
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from prefect.states import Running

from tasks.orchestration.client import open_prefect
from wavlm.errors import LockedError
from wavlm.execution.runtime import Runtime

T = TypeVar("T")
FIRST_SECONDS = 0.5  # between two attempts; each pause is twice the one before
LONGEST_SECONDS = 5.0
REMIND_SECONDS = 600.0  # between two lines that say what a run still waits for
WAITING = "Waiting"

logger = logging.getLogger(__name__)


def wait_out(work: Callable[[], T], runtime: Runtime) -> T:
    """Do the work; while another process holds a lock that it needs, wait and try again.

    The work has to be such that it can be begun again. A line in the log and the state of the flow run say who holds
    the lock. Raises LockedError after `runtime.wait_minutes`.
    """
    began = time.monotonic()
    limit, pause, said = 60 * runtime.wait_minutes, FIRST_SECONDS, -REMIND_SECONDS
    while True:
        try:
            done = work()
        except LockedError as error:
            if error.code != "LOCKED":  # no permission: nobody is there to wait for
                raise
            waited = time.monotonic() - began
            if waited >= limit:
                raise _give_up(error, runtime) from error
            if waited - said >= REMIND_SECONDS:
                said = waited
                what = error.message.partition("; ")[0]
                logger.info("waiting, for %.0f s of at most %.0f s: %s", waited, limit, what)
                _show_state(WAITING, what)
            time.sleep(min(pause, limit - waited))
            pause = min(2 * pause, LONGEST_SECONDS)
        else:
            if said >= 0:
                logger.info("waited %.0f s, and go on", time.monotonic() - began)
                _show_state("Running", "")
            return done


def _give_up(error: LockedError, runtime: Runtime) -> LockedError:
    if not runtime.wait_minutes:
        return error
    what, _, rest = error.message.partition("; ")
    where = rest.partition("; ")[0]
    return LockedError(
        "LOCKED",
        f"{what}, also after {runtime.wait_minutes} minutes; {where}; stop it, or wait longer (wait_minutes, --wait)",
    )


def _show_state(name: str, message: str) -> None:
    """Show the flow run under a name of its own in Prefect. It stays a running one: slots and heartbeats go on."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    try:
        with open_prefect() as client:
            client.set_flow_run_state(context.flow_run.id, Running(name=name, message=message or None))
    except (httpx.HTTPError, PrefectException) as error:
        logger.warning("Prefect does not show that this run is %s: %s", name.lower(), error)
