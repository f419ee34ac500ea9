"""Decode, resample, cut and pack a corpus into WebDataset shards."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.orchestration.progress_bar import show_progress
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Shards
from wavlm.pipeline.store import Store


@task(cache_policy=NO_CACHE, task_run_name="{artifact}")
def shards(artifact: Shards, store: Store, runtime: Runtime) -> Path:
    """The folder of shards of one corpus."""
    from wavlm.corpus.contents import audio_root
    from wavlm.shards import build_shards
    from wavlm.shards.recordings import Intake

    corpus, corpus_dir = artifact.corpus.spec, store.path(artifact.corpus)
    with show_progress(f"shards {artifact.name}") as (progress, _):
        return store.make(
            artifact,
            lambda out: build_shards(
                artifact.spec,
                corpus_dir,
                out,
                runtime.workers,
                progress,
                Intake(corpus.channels, corpus.role, root=audio_root(corpus, corpus_dir)),
            ),
        )
