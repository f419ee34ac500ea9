"""Label a corpus: the nearest centroid of every frame, in one streaming pass over the shards."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.orchestration.progress_bar import show_progress
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Labels
from wavlm.pipeline.store import Store


@task(cache_policy=NO_CACHE, task_run_name="{artifact}")
def labels(artifact: Labels, store: Store, runtime: Runtime) -> Path:
    """The folder of labels of one corpus under one codebook."""
    from wavlm.features.extract import extraction_plan
    from wavlm.labels.build import build_labels

    book = artifact.codebook
    teacher = store.path(book.teacher) if book.teacher else None
    with show_progress(f"labels {artifact.name} {book.name}") as (progress, _):
        return store.make(
            artifact,
            lambda out: build_labels(
                store.path(book),
                book.spec.features,
                store.path(artifact.shards),
                teacher,
                out,
                extraction_plan(runtime.workers, runtime.gpus),
                progress,
            ),
        )
