"""Download, verify and unpack one corpus; write its manifest."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from tasks.orchestration.limits import DOWNLOAD, hold_slot
from tasks.orchestration.stage import make_stage, stage_task
from wavlm.corpus.facts import CorpusFacts
from wavlm.execution.progress import Progress
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Corpus
from wavlm.pipeline.store import Store


@stage_task
def corpus(artifact: Corpus, store: Store, runtime: Runtime) -> Path:
    """The corpus' folder: audio and manifest."""

    def build(out: Path, progress: Progress) -> CorpusFacts:
        from wavlm.corpus.build import grow_corpus
        from wavlm.pipeline.resolve import contents_cache

        with hold_slot(DOWNLOAD) if downloads else nullcontext():
            cache = contents_cache(artifact.spec, store)
            return grow_corpus(artifact.spec, store.downloads, out, progress, cache, workers=runtime.workers)

    downloads = any(source.type != "folder" for source in artifact.spec.sources)
    return make_stage(artifact, store, runtime, build)
