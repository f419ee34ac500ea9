"""A run that the server takes for lost says that it is alive.

The automation of flows/deploy/lost-runs.yaml marks a run as Crashed when its heartbeats do not arrive. After the server
was away for minutes that is wrong for every run, and only the runs themselves know.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import httpx
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.events import emit_event
from prefect.exceptions import PrefectException
from prefect.states import Running

from tasks.orchestration.client import open_prefect

LOOK_SECONDS = 20.0
LOST = "LOST:"  # how the automation's message begins
ANSWERS = "wavlm.run.answers"

logger = logging.getLogger(__name__)


def is_taken_for_lost(state: State) -> bool:
    """Whether the automation, and nobody else, says that a run has ended."""
    return state.is_crashed() and (state.message or "").startswith(LOST)


@contextmanager
def answer_when_lost() -> Iterator[None]:
    """Look after the state of this flow run while the block lasts."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or run.deployment_id is None:
        yield  # nobody watches it
        return
    ended = threading.Event()
    busy = threading.Lock()  # once it is ours, no state but the flow's own last one is written

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            with busy:
                if not ended.is_set():
                    _look(run.id)

    thread = threading.Thread(target=look, name="answer-when-lost", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        with busy:
            pass


def _look(run_id: UUID) -> None:
    try:
        with open_prefect() as client:
            state = client.read_flow_run(run_id).state
            if state is None or not is_taken_for_lost(state):
                return
            client.set_flow_run_state(run_id, Running(message="The run is alive: it was taken for lost."), force=True)
    except (httpx.HTTPError, PrefectException) as error:
        logger.debug("the state of this run is not known: %s", error)
        return
    logger.warning("the server took this run for lost, and was told that it is alive")
    emit_event(ANSWERS, {"prefect.resource.id": f"prefect.flow-run.{run_id}"})
