"""Add what an evaluation found to a version that is in the registry: metrics and files of its run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tasks.registry.connection import Registry, connect, translate_registry_errors
from tasks.registry.following import Uploader
from tasks.registry.reference import find_version
from tasks.registry.runs import log_file
from tasks.registry.versions import Version
from wavlm.evaluation.publication import publish_results
from wavlm.evaluation.results.board import keep
from wavlm.pipeline.artifacts import Evaluation, ImportedModel
from wavlm.pipeline.curves import Point
from wavlm.pipeline.plan import plan
from wavlm.pipeline.published import RESULTS_FOLDER
from wavlm.pipeline.scoreboard import find_results, own_results, suite_metrics
from wavlm.pipeline.store import Store
from wavlm.specs import ModelVersion, Recipe


def add_results(recipe: Recipe, store: Store) -> list[Version]:
    """Add the results of a resolved recipe's suite to the versions among its models; returns those versions.

    A figure that is there already gets the new value; its history keeps both.
    """
    wanted = [item for item in plan(recipe) if isinstance(item, Evaluation)]
    board = keep(find_results(wanted, store))
    subjects = {it.subject.key: it.subject for it in wanted if isinstance(it.subject, ImportedModel)}
    found = []
    for model in subjects.values():
        source = model.spec.source
        own = own_results(board, model)
        if recipe.evaluate is None or not own or not isinstance(source, ModelVersion):
            continue
        registry = connect(store)
        with translate_registry_errors(registry.uri), tempfile.TemporaryDirectory() as folder:
            version = find_version(registry, f"{source.model}:{source.version}")
            push_metrics(registry, version.run_id, suite_metrics(recipe.evaluate.name, own))
            for path in publish_results(board, own, Path(folder), version.reference):
                log_file(registry, version.run_id, path, f"{RESULTS_FOLDER}/{recipe.evaluate.name}")
        found.append(version)
    return found


def push_metrics(registry: Registry, run_id: str, metrics: Mapping[str, float]) -> None:
    """The newest value is the one of the highest step, so none goes below what is there."""
    points, now = [], int(1000 * time.time())
    for name, value in metrics.items():
        steps = [item.step for item in registry.client.get_metric_history(run_id, name)]
        points.append(Point(name, max(steps, default=0), value, now))
    Uploader(registry.client, run_id).push_and_look(points)
