"""Write a model in other people's layouts, with a card made from its lineage."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.orchestration.progress_bar import show_progress
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Export
from wavlm.pipeline.cards import card_of
from wavlm.pipeline.store import Store


@task(cache_policy=NO_CACHE, task_run_name="{artifact}")
def export(artifact: Export, store: Store, runtime: Runtime) -> Path:  # noqa: ARG001 - one shape
    """The folder with a Hugging Face folder, a fairseq-layout file and the model card."""
    from wavlm.export import build_export

    model = artifact.model
    with show_progress(f"export {artifact.name}"):
        return store.make(artifact, lambda out: build_export(store.path(model), card_of(model, store), out))
