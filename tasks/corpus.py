"""Download, verify and unpack one corpus; write its manifest."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from tasks.orchestration.limits import DOWNLOAD, hold_slot
from tasks.orchestration.stage import is_shared, make_stage, stage_task
from wavlm.corpus.facts import CorpusFacts
from wavlm.execution.progress import Progress
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Corpus
from wavlm.pipeline.store import Store


@stage_task
def corpus(artifact: Corpus, store: Store, runtime: Runtime) -> Path:
    """The corpus' folder: audio and manifest."""

    def build(out: Path, progress: Progress) -> CorpusFacts:
        from wavlm.corpus.build import grow_corpus, share_corpus
        from wavlm.pipeline.resolve import contents_cache

        cache = contents_cache(artifact.spec, store)
        where = artifact.spec, store.downloads, out, progress
        if is_shared():
            lock = store.root / "locks" / f"{artifact.kind}-{artifact.key}.gather"
            share_corpus(*where, lock=lock, cache=cache, workers=runtime.workers)
        with hold_slot(DOWNLOAD) if downloads else nullcontext():
            return grow_corpus(*where, cache, workers=runtime.workers)

    downloads = any(source.type != "folder" for source in artifact.spec.sources)
    return make_stage(artifact, store, runtime, build)
