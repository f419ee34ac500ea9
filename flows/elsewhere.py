"""Hand a stage over to another work pool: training goes where the GPUs are, data stay where the disks and cores are."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.context import FlowRunContext
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.states import Cancelling

from tasks.orchestration.alive import is_taken_for_lost
from tasks.orchestration.client import open_prefect
from wavlm.errors import ServiceMissingError
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Artifact, Codebook, Evaluation, Finetune, Labels, Model, Scores
from wavlm.pipeline.mirror.sharing import bring, give_all
from wavlm.pipeline.store import Store
from wavlm.specs import hidden_features

ATTEMPTS = 3
LOOK_SECONDS = 5.0
LATE_SECONDS = 60.0  # after which nobody has taken a run: then no worker looks at its pool, or all have work
ANSWER_SECONDS = 60.0  # in which a run that is taken for lost says that it is alive, if it is

logger = logging.getLogger(__name__)


def needs_gpu(artifact: Artifact) -> bool:
    """Whether a stage runs a network: it trains, or reads hidden states of a model that was trained."""
    if isinstance(artifact, Labels):
        return needs_gpu(artifact.codebook)
    if isinstance(artifact, Codebook):
        return hidden_features(artifact.spec) is not None
    return isinstance(artifact, Model | Scores | Evaluation | Finetune)


def without_gpus(runtime: Runtime) -> Runtime:
    """How to run what stays here. The GPUs count as processes, so that the check of ranks is about the training."""
    return runtime.model_copy(update={"gpus": 0, "processes": runtime.gpus or runtime.processes})


def make_elsewhere(
    artifact: Artifact, deployment: str, store: Store, recipe: str, iteration: int | None, runtime: Runtime
) -> None:
    """Run a deployment of the flow `stage`, and wait until the store holds the artifact, or the mirror does.

    It makes all artifacts of this kind that the iteration has, so that the labels of ten corpora are one run. A run
    that crashes, as when its machine is lost, is followed by another one, which continues. The store decides; a server
    that is away for a while is waited for. If this run ends, so does the other one.
    Raises ServiceMissingError if the other run ends without the artifact.
    """
    parameters = {
        "kind": artifact.kind,
        "recipe": recipe,
        "iteration": iteration,
        "store": str(store.root),
        "runtime": runtime.model_dump(mode="json"),
    }

    def is_there() -> bool:
        return store.is_complete(artifact) or bring(artifact, store, runtime)

    for attempt in range(1, ATTEMPTS + 1):
        if is_there():
            return
        give_all(artifact.needs, store, runtime)  # where the disks differ, it is made from what the mirror has
        ended = _run(artifact, deployment, is_there, parameters, attempt)
        if ended is None or is_there():
            return
        state = ended.state
        if attempt < ATTEMPTS and state is not None and state.is_crashed():
            logger.warning("%s: its run crashed: %s; it is run again", artifact, state.message)
            continue
        raise ServiceMissingError(
            "STAGE_ELSEWHERE",
            f"{artifact} was not made: {state.name if state else 'no state'}: {state.message if state else ''}; "
            f"at the run {ended.name} of {deployment}; see its log, and run again",
        )


def _run(
    artifact: Artifact, deployment: str, is_there: Callable[[], bool], parameters: dict[str, Any], attempt: int
) -> FlowRun | None:
    """The run when it has ended; None if the artifact is there before that is known."""
    parent = FlowRunContext.get()
    asked_by = f"{parent.flow_run.id}-{parent.flow_run.run_count}" if parent and parent.flow_run else None
    run: Any = run_deployment(  # a coroutine only where an event loop runs
        deployment,
        parameters=parameters,
        timeout=0,
        flow_run_name=str(artifact),
        # A request that is sent twice starts one run.
        idempotency_key=asked_by and f"{asked_by}-{artifact.key}-{attempt}",
    )
    try:
        return _wait(run.id, artifact, is_there)
    except ObjectNotFound as error:
        if is_there():
            return None
        raise ServiceMissingError(
            "STAGE_ELSEWHERE",
            f"{artifact} was not made: its run was deleted in Prefect; at the run {run.id} of {deployment}; "
            "see whether a worker still makes it, and run again",
        ) from error
    except BaseException:
        _cancel(run.id)
        raise


def _wait(run_id: UUID, artifact: Artifact, is_there: Callable[[], bool]) -> FlowRun | None:
    """The run when it has ended; None if the artifact is there before that is known.

    Raises ObjectNotFound if the run was deleted in Prefect.
    """
    lost_since: float | None = None
    begun, is_told = time.monotonic(), False
    while True:
        run = _read(run_id)
        is_told = is_told or _tell_if_late(run, artifact, begun)
        if run is None and is_there():
            return None
        if run is not None and run.state is not None and run.state.is_final():
            if not is_taken_for_lost(run.state):
                return run
            lost_since = lost_since or time.monotonic()
            if time.monotonic() - lost_since > ANSWER_SECONDS:
                return run
        else:
            lost_since = None
        time.sleep(LOOK_SECONDS)


def _tell_if_late(run: FlowRun | None, artifact: Artifact, begun: float) -> bool:
    """Say it if no worker has taken the run for a while; whether that was said."""
    is_late = run is not None and run.state is not None and run.state.is_scheduled()
    if run is None or not is_late or time.monotonic() - begun <= LATE_SECONDS:
        return False
    pool = run.work_pool_name
    logger.warning("%s: waiting for a worker in pool %s, as of: prefect worker start --pool %s", artifact, pool, pool)
    return True


def _read(run_id: UUID) -> FlowRun | None:
    """The run; None if Prefect does not say. Raises ObjectNotFound if it knows no such run."""
    try:
        with open_prefect() as client:
            return client.read_flow_run(run_id)
    except ObjectNotFound:
        raise
    except (httpx.HTTPError, PrefectException) as error:
        logger.warning("Prefect does not say how the run %s does: %s", run_id, error)
        return None


def _cancel(run_id: UUID) -> None:
    """Ask the other run to end, as this one does."""
    try:
        with open_prefect() as client:
            state = client.read_flow_run(run_id).state
            if state is not None and state.type != StateType.CANCELLING and not state.is_final():
                client.set_flow_run_state(run_id, Cancelling(message="The run that waited for it ended."))
    except (httpx.HTTPError, PrefectException) as error:
        logger.warning("the run %s was not cancelled: %s", run_id, error)
