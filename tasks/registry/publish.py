"""Publish a model: its run with settings, curve, data and files, and a version of the registered model, exactly once.

A version is found by the key of its model and by the digest of its weights.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tasks.registry import description
from tasks.registry.connection import Registry
from tasks.registry.following import Uploader
from tasks.registry.runs import Tracked, artifact_uri, log_file, open_run, remove_cut_uploads, revive_run
from tasks.registry.versions import (
    METRIC_TAG,
    MODEL_FILES,
    MODEL_FOLDER,
    Version,
    find_by_key,
    has_model,
    native_path,
    sha256_tag,
    to_version,
    versions_of,
)
from wavlm.pipeline.artifacts import Model, Registration
from wavlm.pipeline.curves import Point, read_points
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe
from wavlm.storage.seals import check_sealed

WEIGHTS_TAG = sha256_tag(native_path(MODEL_FILES[0]))
BATCH_PARAMETERS = 100  # MLflow refuses more in one call


def choose_run(registry: Registry, artifact: Registration, tracked: Tracked, store: Store) -> str:
    """The run that a version has its files in. A version's weights never change: other weights get another run."""
    weights = store.record(artifact.model).files[MODEL_FILES[0]].sha256
    found = _find_same(registry, artifact, weights)
    if found:
        return found.run_id
    run_id = open_run(registry, tracked)
    others = registry.client.search_model_versions(f"run_id = '{run_id}'")
    if any(item.tags.get(WEIGHTS_TAG) != weights for item in others):
        return open_run(registry, tracked, is_new=True)
    return run_id


def describe_run(registry: Registry, run_id: str, model: Model, recipe: Recipe, store: Store) -> None:
    """Parameters, metrics and datasets of the run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param

    parameters = [Param(name, value) for name, value in description.parameters(model).items()]
    for start in range(0, len(parameters), BATCH_PARAMETERS):
        registry.client.log_batch(run_id, params=parameters[start : start + BATCH_PARAMETERS])
    curve = read_points(store.path(model))
    last = curve[-1] if curve else Point("", 0, 0.0, 0)
    metrics = description.metrics(model, recipe, store)
    wanted = [*curve, *(Point(name, last.step, value, last.unix_ms) for name, value in metrics.items())]
    Uploader(registry.client, run_id).push_and_look(wanted)
    registry.client.log_inputs(
        run_id,
        datasets=[
            DatasetInput(
                Dataset(
                    name=item.name,
                    digest=item.digest,
                    source_type=item.source_type,
                    source=item.source,
                    profile=item.profile,
                ),
                [InputTag("mlflow.data.context", item.context)],
            )
            for item in description.datasets(model, store)
        ],
    )


def upload(registry: Registry, run_id: str, model: Model, store: Store, out: Path) -> None:
    """The plots, and the version's folder: others' layout with its card, an MLmodel, and the store's own model."""
    files = list(description.files_to_log(model, store, out))
    for path, _ in files:
        check_sealed(path)  # before any is there
    remove_cut_uploads(registry, run_id, {folder for _, folder in files})
    for path, folder in files:
        log_file(registry, run_id, path, folder)


def publish_version(registry: Registry, artifact: Registration, run_id: str, tags: dict[str, str]) -> Version:
    """The model's version with its tags, found by the model's key and weights or created."""
    name = artifact.registry_name
    create_model(registry, name)
    teacher_key = tags.get("teacher.key")
    teacher = find_by_key(registry, name, teacher_key) if teacher_key else None
    if teacher:
        tags = {**tags, "teacher.version": str(teacher.version)}
    found = _find_same(registry, artifact, tags[WEIGHTS_TAG]) or _create_version(registry, artifact, run_id, tags)
    return _set_tags(registry, found, tags)


def create_model(registry: Registry, name: str) -> None:
    """Make the registered model of this name, if there is none."""
    from mlflow.exceptions import MlflowException

    try:
        registry.client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _create_version(registry: Registry, artifact: Registration, run_id: str, tags: dict[str, str]) -> Version:
    client, name = registry.client, artifact.registry_name
    source = f"{artifact_uri(registry, run_id)}/{MODEL_FOLDER}"
    made = to_version(client.create_model_version(name, source, run_id, tags=tags), {})
    found = _find_same(registry, artifact, tags[WEIGHTS_TAG]) or made
    if found.version < made.version:  # somebody else registered it in the same moment
        client.delete_model_version(name, str(made.version))
    return found


def _set_tags(registry: Registry, version: Version, tags: dict[str, str]) -> Version:
    client, name, number = registry.client, version.name, str(version.version)
    for key, value in tags.items():
        if version.tags.get(key) != value:
            client.set_model_version_tag(name, number, key, value)
    # Figures of an earlier training.
    outdated = {key for key in version.tags.keys() - tags.keys() if key.startswith(METRIC_TAG)}
    for key in outdated:
        client.delete_model_version_tag(name, number, key)
    return replace(version, tags={key: value for key, value in {**version.tags, **tags}.items() if key not in outdated})


def _find_same(registry: Registry, artifact: Registration, weights: str) -> Version | None:
    """The oldest version of this model with these weights, whose run is there. One of an earlier format has others."""
    if not has_model(registry, artifact.registry_name):
        return None
    of_model = [item for item in versions_of(registry, artifact.registry_name) if item.key == artifact.model.key]
    same = [item for item in reversed(of_model) if item.tags.get(WEIGHTS_TAG) == weights]
    return next((item for item in same if revive_run(registry, item.run_id)), None)
