"""Results of a suite reach versions that were registered before: metrics, tables, card and page, no new version."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from tasks.registry import description
from tasks.registry.connection import connect, translate_registry_errors
from tasks.registry.evaluated import add_results, push_metrics, rewrite
from tasks.registry.lineage import CARD_FILE
from tasks.registry.runs import log_file
from tasks.registry.versions import MODEL_FOLDER, find_by_key, has_model
from wavlm.errors import LockedError, ServiceMissingError
from wavlm.evaluation.results.sections import carry_sections
from wavlm.pipeline.artifacts import Registration
from wavlm.pipeline.plan import plan
from wavlm.pipeline.published import RESULTS_FOLDER, find_unpublished, note_published
from wavlm.pipeline.registration import RegistrationFacts
from wavlm.pipeline.report import gather_report, write_report
from wavlm.pipeline.scoreboard import board_of, own_results, suite_metrics
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe

_log = logging.getLogger(__name__)


def publish_late(recipe: Recipe, store: Store) -> Iterator[str]:
    """Add results to the versions that lack them, and to those that are evaluated by name; yields their names.

    Raises ServiceMissingError or LockedError if the registry does not take them.
    """
    for item in find_unpublished(plan(recipe), recipe, store):
        if name := _publish(item, recipe, store):
            yield name
    yield from (version.reference for version in add_results(recipe, store))


def publish_late_or_warn(recipe: Recipe, recipe_file: str, store: Store) -> None:
    """The same for versions of this recipe at the end of a run, which a registry that is away does not fail."""
    try:
        for item in find_unpublished(plan(recipe), recipe, store):
            if name := _publish(item, recipe, store):
                _log.info("results of the suite were added to %s in the registry", name)
    except (ServiceMissingError, LockedError) as error:
        _log.warning(
            "results are complete in the store, and not in the registry yet; `wavlm sync %s` adds them: %s",
            recipe_file,
            error,
        )


def _publish(item: Registration, recipe: Recipe, store: Store) -> str:
    """Write results into the run of a version; its name, or nothing if the registry has no such version."""
    assert recipe.evaluate is not None  # noqa: S101 - there are results of its suite
    facts, model = store.facts(item, RegistrationFacts), item.model
    metrics = suite_metrics(recipe.evaluate.name, own_results(board_of(model, recipe, store), model))
    registry = connect(store)
    with tempfile.TemporaryDirectory() as folder, translate_registry_errors(registry.uri):
        out = Path(folder)
        version = find_by_key(registry, item.registry_name, model.key) if has_model(registry, facts.name) else None
        if version is None:
            return ""
        description.write_files(item, store, recipe, out)
        push_metrics(registry, version.run_id, metrics)
        for path in sorted((out / RESULTS_FOLDER).glob("*/*")):
            log_file(registry, version.run_id, path, f"{RESULTS_FOLDER}/{path.parent.name}")
        report = replace(gather_report(model, recipe, store), registration=facts)
        made = ((MODEL_FOLDER, out / CARD_FILE), ("", write_report(report, out)))
        for place, path in made:  # with what was evaluated by the name of the version
            new, suite = path.read_text(encoding="utf-8"), recipe.evaluate.name
            if not rewrite(registry, version.run_id, place, path.name, partial(carry_sections, new=new, without=suite)):
                log_file(registry, version.run_id, path, place)
    note_published(item, recipe, store)
    return version.reference
