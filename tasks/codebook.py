"""Learn a codebook: k-means on a sample of MFCC, or of a layer of the previous iteration's model."""

from __future__ import annotations

from pathlib import Path

from tasks.orchestration.stage import make_stage, stage_task
from wavlm.execution.progress import Progress
from wavlm.execution.runtime import Runtime
from wavlm.labels.facts import CodebookFacts
from wavlm.pipeline.artifacts import Codebook
from wavlm.pipeline.store import Store


@stage_task
def codebook(artifact: Codebook, store: Store, runtime: Runtime) -> Path:
    """The folder of the centroids."""

    def build(out: Path, progress: Progress) -> CodebookFacts:
        from wavlm.features.extract import extraction_plan
        from wavlm.labels.codebook import build_codebook

        folders = {item.corpus.name: store.path(item) for item in artifact.shards}
        teacher = store.path(artifact.teacher) if artifact.teacher else None
        # A sample is small: on a cluster it takes no GPU from the labels.
        plan = extraction_plan(runtime.workers, *((0,) if runtime.cluster else ()), is_elsewhere=bool(runtime.cluster))
        return build_codebook(artifact.spec, folders, teacher, out, plan, progress, artifact.grid)

    return make_stage(artifact, store, runtime, build)
