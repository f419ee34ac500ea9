"""Which results of evaluations a registered version was given: those at its registration, or those noted since."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from wavlm.evaluation.publication import TABLE_CSV
from wavlm.evaluation.results.board import long_rows, to_csv
from wavlm.pipeline.artifacts import Artifact, Registration
from wavlm.pipeline.registration import RegistrationFacts
from wavlm.pipeline.request import FOLDER
from wavlm.pipeline.scoreboard import board_of, own_results
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe
from wavlm.storage.files import write_text

RESULTS_FOLDER = "evaluations"  # of a registration, and of a run of the registry: a folder per suite
SUFFIX = ".published"  # of a file beside the recipes that evaluate, named by the registration


def find_unpublished(artifacts: Sequence[Artifact], recipe: Recipe, store: Store) -> list[Registration]:
    """The registrations among these whose version lacks results that the store holds. The registry is not asked."""
    if recipe.evaluate is None:
        return []
    registered = [item for item in artifacts if isinstance(item, Registration) and store.is_complete(item)]
    return [item for item in registered if _lacks_results(item, recipe, store)]


def note_published(item: Registration, recipe: Recipe, store: Store) -> None:
    """Note that a version has been given the results that the store holds."""
    note = _note_of(item, store)
    note.parent.mkdir(parents=True, exist_ok=True)
    write_text(note, _sign(item, store, _results_of(item, recipe, store)))


def _lacks_results(item: Registration, recipe: Recipe, store: Store) -> bool:
    text = _results_of(item, recipe, store)
    if not text or recipe.evaluate is None:
        return False
    at_registration = store.path(item) / RESULTS_FOLDER / recipe.evaluate.name / TABLE_CSV
    if at_registration.is_file() and at_registration.read_text() == text:
        return False
    note = _note_of(item, store)
    return not note.is_file() or note.read_text() != _sign(item, store, text)


def _results_of(item: Registration, recipe: Recipe, store: Store) -> str:
    """The results of the recipe's suite as CSV; empty if there are none of the model."""
    board = board_of(item.model, recipe, store)
    return to_csv(long_rows(board)) if own_results(board, item.model) else ""


def _sign(item: Registration, store: Store, text: str) -> str:
    """What tells which run of the registry was given which results."""
    run_id = store.facts(item, RegistrationFacts).run_id
    return hashlib.sha256(f"{run_id}\n{text}".encode()).hexdigest() + "\n"


def _note_of(item: Registration, store: Store) -> Path:
    return store.root / FOLDER / f"{item.key}{SUFFIX}"
