"""Learn a codebook: k-means on a sample of MFCC, or of a layer of the previous iteration's model."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.orchestration.progress_bar import show_progress
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Codebook
from wavlm.pipeline.store import Store


@task(cache_policy=NO_CACHE, task_run_name="{artifact}")
def codebook(artifact: Codebook, store: Store, runtime: Runtime) -> Path:
    """The folder of the centroids."""
    from wavlm.features.extract import extraction_plan
    from wavlm.labels.codebook import build_codebook

    folders = {item.corpus.name: store.path(item) for item in artifact.shards}
    teacher = store.path(artifact.teacher) if artifact.teacher else None
    with show_progress(f"codebook {artifact.name}") as (progress, _):
        return store.make(
            artifact,
            lambda out: build_codebook(
                artifact.spec, folders, teacher, out, extraction_plan(runtime.workers), progress
            ),
        )
