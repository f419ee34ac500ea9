"""Register a model: make it a version of the recipe's registered model, exactly once.

A version is found by the key of its model. So a registration that was cut short is continued, and a second one
changes nothing.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.registry import description
from tasks.registry.connection import Registry, Uploader, connect, open_run, translate_registry_errors, without_password
from tasks.registry.gate import Verdict, comparable_tags, has_final_labels, judge, measured_tags
from tasks.registry.lookup import (
    CHAMPION,
    METRIC_TAG,
    MODEL_FILES,
    MODEL_FOLDER,
    NATIVE_FOLDER,
    VERDICT_TAG,
    Version,
    find_by_key,
    native_path,
    record_end,
    sha256_tag,
    to_version,
    versions_of,
    with_metrics,
)
from tasks.registry.mlmodel import write_mlmodel
from wavlm.errors import ServiceMissingError
from wavlm.execution.metrics import METRICS_FILE
from wavlm.export import HF_FOLDER
from wavlm.pipeline.artifacts import Export, Model, Registration
from wavlm.pipeline.cards import card_of
from wavlm.pipeline.curves import Point, read_points
from wavlm.pipeline.plan import plan, scores_of
from wavlm.pipeline.registration import RegistrationFacts, write_registration
from wavlm.pipeline.report import gather_report, write_report
from wavlm.pipeline.store import Store
from wavlm.specs import GateSpec, Recipe

CANDIDATE = "candidate"
PLOTS_FOLDER = "plots"
BATCH_PARAMETERS = 100  # MLflow refuses more in one call

_log = logging.getLogger(__name__)


@task(cache_policy=NO_CACHE, task_run_name="{artifact}")
def register(artifact: Registration, store: Store, recipe: Recipe) -> Path | None:
    """The registration's folder; None, with a warning, if the registry does not answer.

    The pipeline goes on without it: `wavlm sync`, or the next run, registers the model then.
    """
    try:
        return register_model(artifact, store, recipe)
    except ServiceMissingError as error:
        _log.warning("%s is not registered yet: %s", artifact.model, error)
        return None


def sync(recipe: Recipe, store: Store) -> tuple[Path, ...]:
    """Register what the store holds and the registry does not; returns the new registrations.

    A model whose scores are not there yet is left for later.
    Raises ServiceMissingError if the registry does not answer.
    """
    waiting = [
        item
        for item in plan(recipe)
        if isinstance(item, Registration) and store.is_complete(item.model) and not store.is_complete(item)
    ]
    return tuple(register_model(item, store, recipe) for item in waiting if _is_measured(item.model, recipe, store))


def _is_measured(model: Model, recipe: Recipe, store: Store) -> bool:
    """Whether the store has all that the gate judges a model by; if not, it is logged what is missing."""
    scores = scores_of(model, recipe)
    if scores is None or store.is_complete(scores):
        return True
    _log.warning(
        "%s is not registered yet: %s is not there; make it, and sync again: wavlm stage scores RECIPE", model, scores
    )
    return False


def register_model(artifact: Registration, store: Store, recipe: Recipe) -> Path:
    """The registration's folder; raises ServiceMissingError if the registry does not answer."""
    return store.make(artifact, lambda out: _build(artifact, store, recipe, out))


def _build(artifact: Registration, store: Store, recipe: Recipe, out: Path) -> RegistrationFacts:
    model = artifact.model
    if scores := scores_of(model, recipe):
        store.require(scores)  # the gate judges by them, and only once
    hf_folder = _make_export(model, store) / HF_FOLDER
    tags = description.tags(model, recipe, store, hf_folder) | comparable_tags(model, recipe)
    tags |= measured_tags(description.metrics(model, recipe, store), store.path(model))
    plots = out / PLOTS_FOLDER
    plots.mkdir(exist_ok=True)
    description.draw_plots(model, recipe, store, plots)
    report = gather_report(model, recipe, store)  # a file that is damaged ends it before the registry has anything
    registry = connect(store)
    with translate_registry_errors(registry.uri):
        run_id = open_run(registry, model)
        _describe(registry, run_id, model, recipe, store)
        _upload(registry, run_id, model, store, hf_folder, out)
        version = _version(registry, artifact, run_id, tags)
        verdict = _point_aliases(registry, version, recipe.gate, is_final=has_final_labels(model, recipe))
        registry.client.set_terminated(run_id, "FINISHED")
        final = find_by_key(registry, artifact.registry_name, model.key)
    facts = RegistrationFacts(
        name=artifact.registry_name,
        version=version.version,
        run_id=run_id,
        uri=without_password(registry.uri),
        source=version.source,
        sha256=tags[sha256_tag(native_path(MODEL_FILES[0]))],
        aliases=final.aliases if final else (),
        champion=verdict.reason,
    )
    write_registration(out, facts)
    page = write_report(replace(report, registration=facts), out)
    with translate_registry_errors(registry.uri):
        registry.client.log_artifact(run_id, str(page))
    _log.info("%s is %s; champion: %s", model, version.reference, verdict.reason)
    return facts


def _describe(registry: Registry, run_id: str, model: Model, recipe: Recipe, store: Store) -> None:
    """Parameters, metrics and datasets of the run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param

    parameters = [Param(name, value) for name, value in description.parameters(model).items()]
    for start in range(0, len(parameters), BATCH_PARAMETERS):
        registry.client.log_batch(run_id, params=parameters[start : start + BATCH_PARAMETERS])
    curve = read_points(store.path(model))
    last = curve[-1] if curve else Point("", 0, 0.0, 0)
    metrics = description.metrics(model, recipe, store)
    Uploader(registry.client, run_id).push(
        [
            *curve,
            *(Point(name, last.step, value, last.unix_ms) for name, value in metrics.items()),
        ]
    )
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


def _make_export(model: Model, store: Store) -> Path:
    """The model's export. It is made now if it is not there yet: a version is never without it."""
    from wavlm.export import build_export

    return store.make(Export(model), lambda out: build_export(store.path(model), card_of(model, store), out))


def _upload(registry: Registry, run_id: str, model: Model, store: Store, hf_folder: Path, out: Path) -> None:
    """The plots, and the version's folder: others' layout with its card, an MLmodel, and the store's own model."""
    client, folder = registry.client, store.path(model)
    client.log_artifacts(run_id, str(out / PLOTS_FOLDER), PLOTS_FOLDER)
    client.log_artifacts(run_id, str(hf_folder), MODEL_FOLDER)
    client.log_artifact(run_id, str(write_mlmodel(model, run_id, out)), MODEL_FOLDER)
    for name in (*MODEL_FILES, METRICS_FILE):
        if (folder / name).is_file():
            client.log_artifact(run_id, str(folder / name), f"{MODEL_FOLDER}/{NATIVE_FOLDER}")


def _version(registry: Registry, artifact: Registration, run_id: str, tags: dict[str, str]) -> Version:
    """The model's version with its tags, found by the model's key or created."""
    from mlflow.exceptions import MlflowException

    client, name = registry.client, artifact.registry_name
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    teacher_key = tags.get("teacher.key")
    teacher = find_by_key(registry, name, teacher_key) if teacher_key else None
    if teacher:
        tags = {**tags, "teacher.version": str(teacher.version)}
    # A version of an earlier format has its files elsewhere, and its source cannot be changed.
    same_key = (item for item in versions_of(registry, name) if item.key == artifact.model.key)
    found = next((item for item in same_key if item.source.endswith(f"/{MODEL_FOLDER}")), None)
    if found is None:
        source = f"{client.get_run(run_id).info.artifact_uri}/{MODEL_FOLDER}"
        found = to_version(client.create_model_version(name, source, run_id, tags=tags), {})
    for key, value in tags.items():
        if found.tags.get(key) != value:
            client.set_model_version_tag(name, str(found.version), key, value)
    outdated = {key for key in found.tags.keys() - tags.keys() if key.startswith(METRIC_TAG)}  # of an earlier training
    for key in outdated:
        client.delete_model_version_tag(name, str(found.version), key)
    return replace(found, tags={key: value for key, value in {**found.tags, **tags}.items() if key not in outdated})


def _point_aliases(registry: Registry, version: Version, gate: GateSpec, *, is_final: bool) -> Verdict:
    """Move `iteration-N`, `candidate` (never back) and, if the gate lets it, `champion`."""
    client, number = registry.client, str(version.version)
    client.set_registered_model_alias(version.name, f"iteration-{version.iteration}", number)
    versions = versions_of(registry, version.name)
    candidate = next((item for item in versions if CANDIDATE in item.aliases), None)
    if candidate is None or candidate.version <= version.version:
        client.set_registered_model_alias(version.name, CANDIDATE, number)
    champion = next((item for item in versions if CHAMPION in item.aliases), None)
    verdict = judge(
        gate,
        with_metrics(registry, version),
        with_metrics(registry, champion) if champion else None,
        is_final=is_final,
    )
    if verdict.is_champion:
        client.set_registered_model_alias(version.name, CHAMPION, number)
        record_end(registry, champion, version)
    if champion is None or champion.version != version.version:
        client.set_model_version_tag(version.name, number, VERDICT_TAG, verdict.reason)
    return verdict
