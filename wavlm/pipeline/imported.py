"""Models from elsewhere: where they come from, in words, and which network they have, as far as it is known."""

from __future__ import annotations

import os
from pathlib import Path

from wavlm.errors.secrets import without_secrets_in
from wavlm.export.sources import ModelFiles, find_model, read_model_network
from wavlm.finetune.sources import find_system
from wavlm.nn.description import NETWORK_FILE, read_network
from wavlm.pipeline.artifacts import ImportedModel, Model, Teacher
from wavlm.pipeline.store import Store
from wavlm.specs import BaselineSpec, ModelArchive, ModelFolder, ModelSpec, NetworkSpec
from wavlm.specs.evaluation import RandomBaseline


def describe_source(artifact: ImportedModel) -> str:
    """Where a model comes from: its path, its address, or its version in the registry."""
    source = artifact.spec.source
    if isinstance(source, ModelFolder):
        return source.path
    if isinstance(source, ModelArchive):
        return without_secrets_in(source.urls[0])
    if source.alias and source.version:
        return f"{source.reference}, version {source.version}"
    return source.reference if source.version else f"{source.reference}, not resolved"


def place_of(source: ModelFolder) -> Path:
    """The folder or file of a source, absolute."""
    return Path(os.path.expanduser(source.path)).absolute()  # noqa: PTH111 - that of Path raises RuntimeError


def find_files(spec: ModelSpec, place: Path) -> ModelFiles:
    """The files of a model at a place, or of a system. Raises ImportRefusedError if there is none."""
    return find_system(place) if spec.part == "system" else find_model(place)


def find_network(artifact: ImportedModel, store: Store | None) -> NetworkSpec | None:
    """The network of a model: of the store's, of the files that it is read from, or of its spec; None if none says it.

    Raises ModelFileError if files are there and describe none.
    """
    if store and store.is_complete(artifact):
        folder = store.path(artifact)
        return read_network(folder).network if (folder / NETWORK_FILE).exists() else None
    source = artifact.spec.folder
    if source and place_of(source).exists():
        return read_model_network(find_files(artifact.spec, place_of(source))) or artifact.spec.network
    return artifact.spec.network


def network_of(subject: Teacher | BaselineSpec | None, store: Store | None) -> NetworkSpec | None:
    """The network of what is clustered, evaluated or fine-tuned; None if it has none, or if it is not known yet.

    Raises ModelFileError as `find_network` does.
    """
    if isinstance(subject, ImportedModel):
        return find_network(subject, store)
    return subject.network if isinstance(subject, Model | RandomBaseline) else None
