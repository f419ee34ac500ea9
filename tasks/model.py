"""Fetch a model from elsewhere, or read it in place, and write it in this pipeline's form."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tasks.orchestration.limits import DOWNLOAD, hold_slot
from tasks.orchestration.stage import make_stage, stage_task
from wavlm.errors import BadDataError
from wavlm.execution.progress import Progress
from wavlm.execution.runtime import Runtime
from wavlm.export.errors import ImportRefusedError
from wavlm.export.facts import ModelFacts, RegisteredOrigin
from wavlm.export.sources import find_models
from wavlm.finetune.sources import copy_system
from wavlm.pipeline.artifacts import ImportedModel
from wavlm.pipeline.imported import place_of
from wavlm.pipeline.store import Store
from wavlm.specs import ModelArchive, ModelFolder, ModelVersion
from wavlm.storage.files import write_json

FETCHED = ".fetched.partial"  # hidden, and with the ending of what is removed before a folder is sealed


@stage_task
def model(artifact: ImportedModel, store: Store, runtime: Runtime) -> Path:
    """The folder of a model from elsewhere: its weights, its network, and what is known of its lineage."""

    def build(out: Path, progress: Progress) -> ModelFacts:
        with hold_slot(DOWNLOAD) if isinstance(artifact.spec.source, ModelArchive) else nullcontext():
            return build_imported(artifact, store, out, progress)

    return make_stage(artifact, store, runtime, build)


def build_imported(artifact: ImportedModel, store: Store, out: Path, progress: Progress) -> ModelFacts:
    """Fill the folder of a model from elsewhere.

    Raises what downloading, unpacking and the registry raise, BadDataError (MODEL_CHANGED, MODEL_UNUSABLE) and
    UsageError (MODEL_NETWORK).
    """
    from wavlm.export.imported import build_model

    network, source = artifact.spec.network, artifact.spec.source
    is_system = artifact.spec.part == "system"
    build = copy_system if is_system else build_model
    if isinstance(source, ModelFolder):
        return build(place_of(source), out, source.content, network)
    with _folder_in(out) as folder:
        if isinstance(source, ModelArchive):
            return build(_download(source, store, folder, progress), out, network=network)
        origin = _pull_system(source, store, folder) if is_system else _pull(source, store, folder, out)
        return build(folder / "model", out, network=network).model_copy(update=origin)


@contextmanager
def _folder_in(out: Path) -> Iterator[Path]:
    """An empty folder for what is fetched, on the disk of the store. What a killed attempt left is removed."""
    folder = out / FETCHED
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _download(source: ModelArchive, store: Store, folder: Path, progress: Progress) -> Path:
    """The model of a downloaded file: the file itself, or what is in the archive."""
    from wavlm.corpus.download import Pin, RetryPolicy
    from wavlm.corpus.download.https import fetch_pinned
    from wavlm.corpus.unpack import unpack

    pin = Pin("sha256", source.sha256, source.size_bytes, source.format)
    archive = fetch_pinned(pin, source.urls, store.downloads, progress, RetryPolicy())
    if source.format == "pt":
        return archive
    unpack(archive, source.format, folder)
    if source.inside:
        return _inside(folder, source.inside, archive)
    found = find_models(folder)
    if len(found) != 1:
        there = ", ".join(str(place.relative_to(folder)) or "." for place in found) or "none"
        raise ImportRefusedError(
            f"expected one model in the archive, there is: {there} (`inside` names one); at {archive}"
        )
    return found[0]


def _inside(folder: Path, name: str, archive: Path) -> Path:
    place = (folder / name).resolve()
    if not place.is_relative_to(folder.resolve()) or not place.exists():
        there = ", ".join(str(item.relative_to(folder)) for item in find_models(folder)) or "none"
        raise ImportRefusedError(f"{name} is not in the archive, where models are: {there}; at {archive}")
    return place


def _pull(source: ModelVersion, store: Store, folder: Path, out: Path) -> dict[str, object]:
    """Download a version into `folder`/model, and its lineage into `out`. Returns fields of the facts."""
    from tasks.registry.lineage import LINEAGE_FILE
    from tasks.registry.lookup import pull_lineage, pull_model, resolve
    from tasks.registry.versions import native_path, sha256_tag
    from wavlm.nn.description import WEIGHTS_FILE

    reference = f"{source.model}:{source.version}"
    version = resolve(store, reference)
    found = version.tags.get(sha256_tag(native_path(WEIGHTS_FILE)))
    if found not in (None, source.sha256):  # without a tag nothing is pulled, either
        raise BadDataError(
            "MODEL_CHANGED",
            f"the weights of {reference} have sha256 {found}, expected {source.sha256}; at {version.source}; the "
            "version was made anew, or this is another registry: name another version, or correct `sha256`",
        )
    pull_model(store, reference, folder / "model")
    lineage = pull_lineage(store, reference)
    if lineage:
        write_json(out / LINEAGE_FILE, lineage.model_dump(mode="json"))
    registered = RegisteredOrigin(
        model=source.model, version=source.version or "", key=version.key, place=version.source
    )
    return {"registered": registered, "origins": lineage.origins if lineage else ()}


def _pull_system(source: ModelVersion, store: Store, folder: Path) -> dict[str, object]:
    """Download the version of a system into `folder`/model. Returns fields of the facts."""
    from tasks.registry.system_versions import find_system_weights, pull_system

    found = find_system_weights(store, f"{source.model}:{source.version}")
    if found.sha256 != source.sha256:
        raise BadDataError(
            "MODEL_CHANGED",
            f"the head of {found.asked} has sha256 {found.sha256}, expected {source.sha256}; at {found.place}; name "
            "another version, or correct `sha256`",
        )
    version = pull_system(store, found.asked, folder / "model")
    return {
        "registered": RegisteredOrigin(
            model=source.model, version=source.version or "", key=version.key, place=version.source
        )
    }
