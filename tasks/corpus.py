"""Download, verify and unpack one corpus; write its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.progress import shown
from wavlm.artifacts import Corpus
from wavlm.specs import Runtime
from wavlm.store import Store


def lost_connection(_task: Any, _run: Any, state: Any) -> bool:
    """Whether a failed attempt is worth another: the network's fault, never a wrong checksum's."""
    error = state.data if isinstance(state.data, BaseException) else None
    if error is None:
        error = state.result(raise_on_failure=False)
    return isinstance(error, ConnectionError | TimeoutError | httpx.TransportError)


@task(
    cache_policy=NO_CACHE,
    task_run_name="{artifact}",
    retries=3,
    retry_delay_seconds=[5, 30, 120],
    retry_jitter_factor=0.5,
    retry_condition_fn=lost_connection,
)
def corpus(artifact: Corpus, store: Store, runtime: Runtime) -> Path:  # noqa: ARG001 - one shape
    """The corpus' folder: audio and manifest."""
    from wavlm.corpus import build_corpus

    with shown(f"corpus {artifact.name}") as (progress, _):
        return store.make(
            artifact,
            lambda out: build_corpus(artifact.spec, store.downloads, out, progress),
        )
