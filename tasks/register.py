"""Register a model: make it a version of the recipe's registered model, exactly once.

A version is found by the key of its model. So a registration that was cut short is continued, and a second one
changes nothing.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from tasks.orchestration.events import tell_verdict
from tasks.orchestration.stage import say_outcome, stage_task
from tasks.orchestration.waiting import wait_out
from tasks.registry import description
from tasks.registry.aliases import point_aliases
from tasks.registry.connection import connect, translate_registry_errors
from tasks.registry.gate import comparable_tags, measured_tags
from tasks.registry.lineage import CARD_FILE, write_lineage
from tasks.registry.mlmodel import write_mlmodel
from tasks.registry.publish import WEIGHTS_TAG, choose_run, describe_run, publish_version, upload
from tasks.registry.runs import Tracked, experiment_of, log_file, page_of
from tasks.registry.versions import METRIC_TAG, TAG_OF, Version, find_by_key, has_model
from tasks.registry.words import describe_model, describe_version, write_words
from wavlm.errors import Code, LockedError, ServiceMissingError
from wavlm.errors.secrets import without_secrets_in
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Export, Model, Registration
from wavlm.pipeline.cards import card_of
from wavlm.pipeline.plan import plan, scores_of
from wavlm.pipeline.registration import (
    GATE_FILE,
    OWN_REGISTRY,
    GateFacts,
    RegistrationFacts,
    configured_registry,
    write_registration,
)
from wavlm.pipeline.report import gather_report, write_report
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe

DEFAULT_RUNTIME = Runtime()

_log = logging.getLogger(__name__)


@stage_task
def register(artifact: Registration, store: Store, recipe: Recipe, runtime: Runtime = DEFAULT_RUNTIME) -> Path | None:
    """The registration's folder; None, with a warning, if the registry does not answer or may not be written.

    The pipeline goes on without it: `wavlm sync`, or the next run, registers the model then.
    """
    try:
        folder = wait_out(lambda: register_model(artifact, store, recipe, runtime.experiment), runtime)
    except (ServiceMissingError, LockedError) as error:
        if isinstance(error, LockedError) and error.code != Code.REGISTRY_READONLY:
            raise
        _log.warning("%s is not registered yet: %s", artifact.model, error)
        return None
    say_outcome(artifact, store)
    return folder


def sync(recipe: Recipe, store: Store, experiment: str = "") -> tuple[Path, ...]:
    """Register what the store holds and the registry does not; returns the new registrations.

    It is the registry that is asked, not the store's memory of it: a new, emptied or other one gets all models.
    A model whose scores are not there yet is left for later.
    Without a complete model nothing is asked or written.
    Raises ServiceMissingError if the registry does not answer.
    """
    wanted = [item for item in plan(recipe) if isinstance(item, Registration) and store.is_complete(item.model)]
    if not wanted:
        return ()
    registry = connect(store)
    found = []
    for item in wanted:
        with translate_registry_errors(registry.uri):
            is_there = has_model(registry, item.registry_name) and find_by_key(
                registry, item.registry_name, item.model.key
            )
        if store.is_complete(item):
            if is_there:
                continue
            store.redo(item)  # the registry forgot it
        if _is_measured(item.model, recipe, store):
            found.append(register_model(item, store, recipe, experiment))
    return tuple(found)


def _is_measured(model: Model, recipe: Recipe, store: Store) -> bool:
    """Whether the store has all that the gate judges a model by; if not, it is logged what is missing."""
    scores = scores_of(model, recipe)
    if scores is None or store.is_complete(scores):
        return True
    _log.warning(
        "%s is not registered yet: %s is not there; make it, and sync again: wavlm stage scores RECIPE", model, scores
    )
    return False


def register_model(artifact: Registration, store: Store, recipe: Recipe, experiment: str = "") -> Path:
    """The registration's folder; raises ServiceMissingError if the registry does not answer."""
    tracked = Tracked(artifact.model, recipe.name, experiment)
    verdicts: list[tuple[RegistrationFacts, GateFacts]] = []

    def build(out: Path) -> RegistrationFacts:
        facts, verdict = _build(artifact, tracked, store, recipe, out)
        verdicts.append((facts, verdict))
        return facts

    path = store.make(artifact, build)
    for facts, verdict in verdicts:
        tell_verdict(recipe, facts, is_champion=verdict.is_champion)
    return path


def _build(
    artifact: Registration, tracked: Tracked, store: Store, recipe: Recipe, out: Path
) -> tuple[RegistrationFacts, GateFacts]:
    model = artifact.model
    if scores := scores_of(model, recipe):
        store.require(scores)  # the gate judges by them, and only once
    _make_export(model, store)
    figures = description.metrics(model, recipe, store)
    _prepare(artifact, store, recipe, out)
    report = gather_report(model, recipe, store)  # a file that is damaged ends it before the registry has anything
    registry = connect(store)
    with translate_registry_errors(registry.uri):
        run_id = choose_run(registry, artifact, tracked, store)
        write_mlmodel(model, run_id, out)
        lineage = write_lineage(model, recipe, store, out / CARD_FILE, out)
        tags = description.version_tags(tracked, store, lineage)
        tags |= comparable_tags(model, recipe) | measured_tags(figures, store.path(model), model.train.objective)
        describe_run(registry, run_id, model, recipe, store)
        upload(registry, run_id, model, store, out)
        version = publish_version(registry, artifact, run_id, tags)
        measured = {name: float(tags[METRIC_TAG + name]) for name in TAG_OF if METRIC_TAG + name in tags}
        words = describe_version(model, recipe, store, version, figures | measured, page_of(registry, run_id))
        write_words(registry, version, words, describe_model(recipe))
        verdict = point_aliases(registry, version, model, recipe, store, out)
        log_file(registry, run_id, out / GATE_FILE, "")
        registry.client.set_terminated(run_id, "FINISHED")
        final = _require_kept(find_by_key(registry, artifact.registry_name, model.key), version)
        experiment_id = experiment_of(registry, run_id)
    facts = RegistrationFacts(
        name=artifact.registry_name,
        version=version.version,
        run_id=run_id,
        uri=configured_registry(store.root),
        source=_relative(version.source, store),
        sha256=tags[WEIGHTS_TAG],
        aliases=final.aliases,
        champion=verdict.reason,
        experiment_id=experiment_id,
    )
    write_registration(out, facts)
    page = write_report(replace(report, registration=facts), out)
    with translate_registry_errors(registry.uri):
        log_file(registry, run_id, page, "")
    return facts, verdict


def _require_kept(found: Version | None, made: Version) -> Version:
    if found is None:
        raise ServiceMissingError(
            "REGISTRY_DOWN",
            f"MLflow took a version and does not have it; at {made.name} version {made.version}; see to its disk and "
            "database, then: wavlm sync RECIPE",
        )
    return found


def _prepare(artifact: Registration, store: Store, recipe: Recipe, out: Path) -> None:
    """What a version has beside the model, as far as no registry is needed."""
    description.write_files(artifact, store, recipe, out)
    description.draw_plots(artifact.model, recipe, store, out / description.PLOTS_FOLDER)


def _relative(source: str, store: Store) -> str:
    """Where the files of a version are: of the store's own registry, their path in the store."""
    if configured_registry(store.root) != OWN_REGISTRY:
        return without_secrets_in(source)
    return source.removeprefix(f"{store.root.resolve()}/")


def _make_export(model: Model, store: Store) -> Path:
    """The model's export. It is made now if it is not there yet: a version is never without it."""
    from wavlm.export import build_export

    return store.make(Export(model), lambda out: build_export(store.path(model), card_of(model, store), out))
