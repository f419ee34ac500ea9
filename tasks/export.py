"""Write a model in other people's layouts, with a card made from its lineage."""

from __future__ import annotations

from pathlib import Path

from tasks.orchestration.stage import make_stage, stage_task
from wavlm.execution.progress import Progress
from wavlm.execution.runtime import Runtime
from wavlm.export.facts import ExportFacts
from wavlm.pipeline.artifacts import Export
from wavlm.pipeline.cards import card_of
from wavlm.pipeline.store import Store


@stage_task
def export(artifact: Export, store: Store, runtime: Runtime) -> Path:
    """The folder with a Hugging Face folder, a fairseq-layout file and the model card."""

    def build(out: Path, _progress: Progress) -> ExportFacts:
        from wavlm.export import build_export

        return build_export(store.path(artifact.model), card_of(artifact.model, store), out)

    return make_stage(artifact, store, runtime, build)
