"""The lineage of a version: `lineage.json`, one file with the keys of all that it was made from and all file digests.

An earlier version of the pipeline wrote each key as a tag of its own; `read_keys` reads both.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from tasks.registry.connection import Registry, translate_registry_errors
from tasks.registry.provenance import git_commit, package_version
from tasks.registry.versions import MODEL_FILES, Version, download, native_path, sha256_tag
from wavlm.errors import BadDataError, CodedError
from wavlm.export import HF_FOLDER
from wavlm.export.facts import Origin
from wavlm.pipeline.artifacts import (
    Artifact,
    Corpus,
    Export,
    ImportedModel,
    Model,
    Shards,
    keep_latest,
    lineage,
)
from wavlm.pipeline.cards import origins_of
from wavlm.pipeline.store import Store
from wavlm.specs import ModelVersion, Recipe, StartSpec
from wavlm.storage.facts import Facts
from wavlm.storage.files import sha256_of, write_json

LINEAGE_FILE = "lineage.json"
CARD_FILE = "README.md"
_KEY_TAG = re.compile(
    r"(corpus|shards|labels|model)\..+|codebook|mixtures|teacher\.(key|version)|start\.(key|version|sha256)"
)


class LineageItem(Facts):
    """One artifact that the model was made from, or the model itself."""

    kind: str
    name: str
    key: str
    inputs: tuple[str, ...]  # keys


class Lineage(Facts):
    """What `lineage.json` holds."""

    format: Literal[1] = 1
    recipe: str
    iteration: int
    model: str  # key
    keys: dict[str, str]  # of the artifacts, by `corpus.NAME`, `shards.NAME`, `labels.NAME`, `codebook` and so on
    artifacts: tuple[LineageItem, ...]  # inputs first, the model last
    files: dict[str, str]  # sha256 of the version's files, by their path in its folder
    origins: tuple[Origin, ...] = ()  # the corpora and models that it was learnt from, those of its starts too
    commit: str = ""  # of the code that registered it
    package: str = ""


def write_lineage(model: Model, recipe: Recipe, store: Store, card: Path, folder: Path) -> Path:
    """Write the file into a folder; returns its path. `card` is the version's model card."""
    found = Lineage(
        recipe=recipe.name,
        iteration=model.iteration,
        model=model.key,
        keys=dict(_keys(model)),
        artifacts=tuple(
            LineageItem(kind=item.kind, name=item.name, key=item.key, inputs=tuple(part.key for part in item.inputs))
            for item in lineage([model])
        ),
        files=file_digests(model, store) | {CARD_FILE: sha256_of(card)},
        origins=origins_of(model, store),
        commit=git_commit(),
        package=package_version(),
    )
    path = folder / LINEAGE_FILE
    write_json(path, found.model_dump(mode="json"))
    return path


def file_digests(model: Model, store: Store) -> dict[str, str]:
    """The sha256 of a version's files as the records of the store have them: what was sealed is what is vouched for."""
    export, own = store.record(Export(model)).files, store.record(model).files
    found = {
        path.removeprefix(f"{HF_FOLDER}/"): file.sha256
        for path, file in export.items()
        if path.startswith(f"{HF_FOLDER}/")
    }
    return found | {native_path(name): own[name].sha256 for name in MODEL_FILES}


def with_lineage(registry: Registry, version: Version) -> Version:
    """The version with the keys of its lineage. A file that cannot be read is named there, and hides nothing else."""
    try:
        with translate_registry_errors(registry.uri):
            return replace(version, lineage=read_keys(registry, version))
    except CodedError as error:
        return replace(version, lineage={LINEAGE_FILE: str(error)})


def read_keys(registry: Registry, version: Version) -> dict[str, str]:
    """The keys of a version's lineage by what they are of; empty for a version that somebody else registered.

    Raises BadDataError (MODEL_TAMPERED) if the file is not the one that was registered.
    """
    tags = {name: text for name, text in version.tags.items() if _KEY_TAG.fullmatch(name)}
    found = read_lineage(registry, version)
    return tags | found.keys if found else tags


def read_lineage(registry: Registry, version: Version) -> Lineage | None:
    """The lineage of a version; None if it has none, as one that somebody else registered.

    Raises BadDataError (MODEL_TAMPERED) if the file is not the one that was registered.
    """
    expected = version.tags.get(sha256_tag(LINEAGE_FILE))
    if expected is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = download(registry, version, LINEAGE_FILE, Path(folder))
        found = sha256_of(path)
        if found == expected:
            return _read(path, version)
    raise BadDataError(
        "MODEL_TAMPERED",
        f"{LINEAGE_FILE} of {version.reference} has sha256 {found}, expected {expected}; at {version.source}; do not "
        "believe it; register the model again from its store",
    )


def _read(path: Path, version: Version) -> Lineage:
    try:
        return Lineage.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BadDataError(
            "RECORD_BROKEN",
            f"{LINEAGE_FILE} of {version.reference} has another form: {error}; at {version.source}; a newer version of "
            "the pipeline may read it",
        ) from error


def _keys(model: Model) -> Iterator[tuple[str, str]]:
    """Keys of the whole lineage of a model, by what they are of."""
    for item in keep_latest(lineage([model])):
        if isinstance(item, Corpus | Shards | ImportedModel):
            yield f"{item.kind}.{item.name}", item.key
    for labels in model.labels:
        yield f"labels.{labels.name}", labels.key
    if model.mixtures:
        yield "mixtures", model.mixtures.key
    yield from parent_keys(model).items()


def parent_keys(model: Model) -> Mapping[str, str]:
    """The keys of codebook and teacher, and what the model started from, by which people filter: they are tags, too."""
    found = {}
    if codebook := model.codebook:
        found["codebook"] = codebook.key
        if codebook.teacher:
            found["teacher.key"] = codebook.teacher.key
            found |= _version_of("teacher", codebook.teacher)
    if isinstance(model.start, StartSpec):
        found["start.sha256"] = model.start.sha256 or ""
    if isinstance(model.start, ImportedModel):
        found |= {"start.key": model.start.key, **_version_of("start", model.start)}
    return found


def _version_of(part: str, parent: Artifact) -> dict[str, str]:
    """The version of the registry that a teacher or a start was taken from."""
    source = parent.spec.source if isinstance(parent, ImportedModel) else None
    return {f"{part}.version": f"{source.model}:{source.version}"} if isinstance(source, ModelVersion) else {}
