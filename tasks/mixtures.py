"""Render the small fixed set of mixtures: validation under noise and overlap, with pairs to listen to."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.orchestration.progress_bar import show_progress
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Mixtures
from wavlm.pipeline.store import Store


@task(cache_policy=NO_CACHE, task_run_name="{artifact}")
def mixtures(artifact: Mixtures, store: Store, runtime: Runtime) -> Path:  # noqa: ARG001 - one shape
    """The folder of the mixed set, its truth and the pairs to listen to."""
    from wavlm.mixing.build import build_mixtures

    speech, noise, rooms = (
        [store.path(item) for item in items] for items in (artifact.speech, artifact.noise, artifact.rooms)
    )
    with show_progress(f"mixtures {artifact.name}") as (progress, _):
        return store.make(
            artifact,
            lambda out: build_mixtures(artifact.spec, artifact.mix, speech, noise, rooms, out, progress),
        )
