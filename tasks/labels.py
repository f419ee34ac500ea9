"""Label a corpus: the nearest centroid of every frame, in one streaming pass over the shards."""

from __future__ import annotations

from pathlib import Path

from tasks.orchestration.stage import make_stage, stage_task
from wavlm.execution.progress import Progress
from wavlm.execution.runtime import Runtime
from wavlm.labels.facts import LabelsFacts
from wavlm.pipeline.artifacts import Labels
from wavlm.pipeline.store import Store


@stage_task
def labels(artifact: Labels, store: Store, runtime: Runtime) -> Path:
    """The folder of labels of one corpus under one codebook."""

    def build(out: Path, progress: Progress) -> LabelsFacts:
        from wavlm.features.extract import extraction_plan
        from wavlm.labels.build import build_labels

        book = artifact.codebook
        teacher = store.path(book.teacher) if book.teacher else None
        plan = extraction_plan(runtime.workers, runtime.gpus, is_elsewhere=bool(runtime.cluster))
        shards = store.path(artifact.shards)
        siblings = store.siblings(artifact)
        return build_labels(store.path(book), book.spec.features, shards, teacher, out, plan, progress, siblings)

    return make_stage(artifact, store, runtime, build)
