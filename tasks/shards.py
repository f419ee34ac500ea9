"""Decode, resample, cut and pack a corpus into WebDataset shards."""

from __future__ import annotations

from pathlib import Path

from tasks.orchestration.stage import make_stage, stage_task
from wavlm.execution.progress import Progress
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Shards
from wavlm.pipeline.store import Store
from wavlm.shards.facts import ShardsFacts


@stage_task
def shards(artifact: Shards, store: Store, runtime: Runtime) -> Path:
    """The folder of shards of one corpus."""

    def build(out: Path, progress: Progress) -> ShardsFacts:
        from wavlm.corpus.contents import audio_root
        from wavlm.shards import build_shards
        from wavlm.shards.recordings import Intake

        corpus, corpus_dir = artifact.corpus.spec, store.path(artifact.corpus)
        root = audio_root(corpus, corpus_dir)
        intake = Intake(corpus.channels, corpus.role, root=root, archives=store.downloads)
        siblings = store.siblings(artifact)
        return build_shards(artifact.spec, corpus_dir, out, runtime.workers, progress, intake, siblings)

    return make_stage(artifact, store, runtime, build)
