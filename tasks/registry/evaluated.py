"""Add what an evaluation found to a version that is in the registry: metrics and files of its run, card and page."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tasks.registry.connection import Registry, connect, translate_registry_errors
from tasks.registry.following import Uploader
from tasks.registry.lineage import CARD_FILE
from tasks.registry.reference import find_version
from tasks.registry.runs import fetch_file, has_file, log_file
from tasks.registry.versions import MODEL_FOLDER, Version
from wavlm.evaluation.publication import LAYERS_PLOT, publish_results
from wavlm.evaluation.results.board import Board
from wavlm.evaluation.results.facts import EvaluationFacts
from wavlm.evaluation.results.sections import card_section, page_section, put_section
from wavlm.pipeline.artifacts import Evaluation, ImportedModel
from wavlm.pipeline.curves import Point
from wavlm.pipeline.plan import plan
from wavlm.pipeline.published import RESULTS_FOLDER
from wavlm.pipeline.registration import REPORT_FILE
from wavlm.pipeline.scoreboard import find_results, make_board, own_results, suite_metrics
from wavlm.pipeline.store import Store
from wavlm.specs import ModelVersion, Recipe
from wavlm.storage.files import write_text


def add_results(recipe: Recipe, store: Store) -> list[Version]:
    """Add the results of a resolved recipe's suite to the versions among its models; returns those versions.

    A figure that is there already gets the new value; its history keeps both.
    """
    wanted = [item for item in plan(recipe) if isinstance(item, Evaluation)]
    board = make_board(find_results(wanted, store), store)
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
            _extend_texts(registry, version, recipe.evaluate.name, (board, own), Path(folder))
        found.append(version)
    return found


def _extend_texts(
    registry: Registry, version: Version, suite: str, results: tuple[Board, list[EvaluationFacts]], folder: Path
) -> None:
    """Put the results of a suite on the card and on the page of a version. folder: holds its heat map, if any."""
    board, own = results
    plot = folder / LAYERS_PLOT
    card = card_section(suite, board, own)
    page = page_section(suite, board, own, plot if plot.is_file() else None)
    rewrite(registry, version.run_id, MODEL_FOLDER, CARD_FILE, lambda text: put_section(text, suite, card))
    rewrite(registry, version.run_id, "", REPORT_FILE, lambda text: put_section(text, suite, page))


def rewrite(registry: Registry, run_id: str, folder: str, name: str, change: Callable[[str], str]) -> bool:
    """Change a text among the artifacts of a run; returns whether the run has it."""
    path = f"{folder}/{name}".lstrip("/")
    if not has_file(registry, run_id, path):
        return False
    with tempfile.TemporaryDirectory() as temporary:
        text = fetch_file(registry, run_id, path, Path(temporary))
        write_text(text, change(text.read_text(encoding="utf-8")))
        log_file(registry, run_id, text, folder)
    return True


def push_metrics(registry: Registry, run_id: str, metrics: Mapping[str, float]) -> None:
    """The newest value is the one of the highest step, so none goes below what is there."""
    points, now = [], int(1000 * time.time())
    for name, value in metrics.items():
        steps = [item.step for item in registry.client.get_metric_history(run_id, name)]
        points.append(Point(name, max(steps, default=0), value, now))
    Uploader(registry.client, run_id).push_and_look(points)
