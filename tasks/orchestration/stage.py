"""What all stages share: how a stage becomes a Prefect task, and how a task makes its artifact."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE

from tasks.orchestration.progress_bar import show_progress
from tasks.orchestration.waiting import wait_out
from wavlm.errors import CodedError
from wavlm.execution.executor import choose_executor
from wavlm.execution.parts import use_executor
from wavlm.execution.progress import Progress
from wavlm.execution.runtime import Runtime
from wavlm.execution.share import Share
from wavlm.pipeline.artifacts import Artifact
from wavlm.pipeline.outcome import describe_outcome, title_of
from wavlm.pipeline.store import Store
from wavlm.storage.facts import Facts

P = ParamSpec("P")
R = TypeVar("R")
# Three more attempts, for an outage of ten minutes: downloads have tried several times before the first of them.
RETRY_SECONDS = [30.0, 120.0, 480.0]

_share: ContextVar[Share | None] = ContextVar("wavlm_share", default=None)

logger = logging.getLogger(__name__)


def may_pass(_task: Any, _run: Any, state: Any) -> bool:
    """Whether a failed attempt is worth another: a network's or a server's fault, never bad data or a wrong spec."""
    error = state.result(raise_on_failure=False)
    if isinstance(error, CodedError):
        if error.is_transient:
            logger.warning("tried again later: %s", error)
        return error.is_transient
    return isinstance(error, ConnectionError)


RETRIES: Any = {  # keywords of a task
    "retries": len(RETRY_SECONDS),
    "retry_delay_seconds": RETRY_SECONDS,
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": may_pass,
}


def stage_task(function: Callable[P, R]) -> Task[P, R]:
    """A Prefect task for a stage: named after its artifact, tried again after failures that may pass by themselves."""
    # The store decides what is there, not Prefect's cache.
    title: Any = _name  # Prefect asks whether it takes parameters, which its type does not say
    return task(cache_policy=NO_CACHE, task_run_name=title, **RETRIES)(function)


@contextmanager
def make_shares(share: Share) -> Iterator[None]:
    """While the block runs, stages make a share of their parts, and seal nothing."""
    token = _share.set(share)
    try:
        yield
    finally:
        _share.reset(token)


def is_shared() -> bool:
    """Whether a share of the parts is made, beside other processes."""
    return _share.get() is not None


def make_stage(artifact: Artifact, store: Store, runtime: Runtime, build: Callable[[Path, Progress], Facts]) -> Path:
    """Make an artifact in the store, show how far it is, and say in one line what came out. Returns its folder.

    Its parts are made by the executor of `runtime`. Waits while another run makes it, or an input of it. What that run
    has made is used.
    """
    with show_progress(title_of(artifact)) as (progress, _):
        if share := _share.get():
            _make_share(artifact, store, runtime, lambda out: build(out, progress), share)
            return store.path(artifact)
        with use_executor(choose_executor(runtime, store.root)):
            folder = wait_out(lambda: store.make(artifact, lambda out: build(out, progress)), runtime)
    say_outcome(artifact, store)
    return folder


def _make_share(
    artifact: Artifact, store: Store, runtime: Runtime, build: Callable[[Path], Facts], share: Share
) -> None:
    with use_executor(share):
        made = wait_out(lambda: store.make_share(artifact, build), runtime)
    what = f"{made}, as rank {share.rank} of {share.of}" if made else "complete already"
    logger.info("%s: %s; at %s", title_of(artifact), what, store.partial_folder(artifact) if made else store.root)


def say_outcome(artifact: Artifact, store: Store) -> None:
    """One line of the log: what a complete artifact is, and who made it."""
    by = "" if artifact.key in store.built else " (made by another run meanwhile, and used)"
    logger.info("%s%s: %s; at %s", title_of(artifact), by, describe_outcome(artifact, store), store.path(artifact))


def _name(parameters: dict[str, Any]) -> str:
    artifact: Artifact = parameters["artifact"]
    return f"{title_of(artifact)} ({artifact.key})"
