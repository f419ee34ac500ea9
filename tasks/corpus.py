"""Download, verify and unpack one corpus; write its manifest."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.orchestration.limits import DOWNLOAD, hold_slot
from tasks.orchestration.progress_bar import show_progress
from wavlm.corpus.download.transfer import InterruptedTransferError
from wavlm.errors import ServiceMissingError
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Corpus
from wavlm.pipeline.store import Store


def lost_connection(_task: Any, _run: Any, state: Any) -> bool:
    """Whether a failed attempt is worth another: the network's fault, never a wrong checksum's.

    Downloads have tried several times by then: this is for an outage of half a minute.
    """
    error = state.result(raise_on_failure=False)
    if isinstance(error, ServiceMissingError):
        return isinstance(error, InterruptedTransferError) or error.code == "APT_FAILED"
    return isinstance(error, ConnectionError)


@task(
    cache_policy=NO_CACHE,
    task_run_name="{artifact}",
    retries=1,
    retry_delay_seconds=30,
    retry_jitter_factor=0.5,
    retry_condition_fn=lost_connection,
)
def corpus(artifact: Corpus, store: Store, runtime: Runtime) -> Path:  # noqa: ARG001 - one shape
    """The corpus' folder: audio and manifest."""
    from wavlm.corpus.build import build_corpus
    from wavlm.pipeline.resolve import contents_cache

    downloads = any(source.type != "folder" for source in artifact.spec.sources)
    with ExitStack() as stack:
        if downloads:
            stack.enter_context(hold_slot(DOWNLOAD))
        progress, _ = stack.enter_context(show_progress(f"corpus {artifact.name}"))
        return store.make(
            artifact,
            lambda out: build_corpus(
                artifact.spec, store.downloads, out, progress, contents_cache(artifact.spec, store)
            ),
        )
