"""Which artifacts of a recipe are set aside when the corpus of an evaluation is missing, and which are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.tones import write_tones
from tests.tasks.conftest import recipe_of
from wavlm.pipeline.artifacts import Corpus, Evaluation, Registration
from wavlm.pipeline.aside import find_left_out, set_aside
from wavlm.pipeline.known import require_known
from wavlm.pipeline.plan import plan
from wavlm.pipeline.resolve import read_folders, resolve
from wavlm.pipeline.store import Store
from wavlm.specs import CorpusSpec, Recipe
from wavlm.specs.evaluation import FbankBaseline
from wavlm.specs.gate import GateSpec
from wavlm.specs.yaml import find_suite


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """A training with two evaluations, one of which has a corpus that is not there."""
    suite = find_suite(write_tones(tmp_path, {"heard": "tones", "missing": "absent"}))
    return recipe_of(None).model_copy(update={"evaluate": suite, "gate": GateSpec(metric="valid/loss")})


def absent(recipe: Recipe) -> CorpusSpec:
    assert recipe.evaluate is not None
    return recipe.evaluate.evaluations[1].corpora[0]


def test_what_only_the_missing_corpus_is_for_is_set_aside_and_all_else_is_kept(recipe: Recipe, tmp_path: Path) -> None:
    planned = plan(recipe)
    found = set_aside(planned, recipe, Store(tmp_path / "store"))
    assert [error.code for error in found.missing] == ["FOLDER_MISSING"]
    left = [item for item in planned if item not in found.kept]
    assert [(item.kind, item.name) for item in left] == [
        ("corpus", "absent"),
        ("shards", "absent"),
        ("evaluation", "missing-iteration1"),
        ("evaluation", "missing-iteration2"),
    ]
    assert any(isinstance(item, Registration) for item in found.kept)
    nothing = set_aside([item for item in planned if item in found.kept], recipe, Store(tmp_path / "store"))
    assert nothing.missing == ()  # who does not ask for it is told nothing of it


def test_a_corpus_that_the_training_needs_too_is_not_set_aside(recipe: Recipe, tmp_path: Path) -> None:
    spec = absent(recipe)
    needed = recipe.model_copy(update={"speech": (*recipe.speech, spec)})
    kept = set_aside(plan(needed), needed, Store(tmp_path / "store")).kept
    assert Corpus(spec) in kept
    assert find_left_out(needed, Store(tmp_path / "store")) == frozenset()


def test_the_evaluation_that_the_gate_compares_by_is_not_set_aside(recipe: Recipe, tmp_path: Path) -> None:
    judged = recipe.model_copy(update={"gate": GateSpec(metric="tones/missing/accuracy")})
    assert set_aside(plan(judged), judged, Store(tmp_path / "store")).kept == plan(judged)
    other = recipe.model_copy(update={"gate": GateSpec(metric="tones/heard/accuracy")})
    names = {item.spec.name for item in set_aside(plan(other), other, Store(tmp_path / "store")).kept
             if isinstance(item, Evaluation)}  # fmt: skip
    assert names == {"heard"}


def test_folders_are_read_without_the_one_that_is_missing_and_then_all_else_is_known(
    recipe: Recipe, tmp_path: Path
) -> None:
    assert recipe.evaluate is not None
    of_fbank = recipe.evaluate.model_copy(update={"baselines": (FbankBaseline(type="fbank"),)})
    alone = recipe.model_copy(update={"iterations": (), "speech": (), "mixtures": None, "evaluate": of_fbank})
    store = Store(tmp_path / "store")
    read_folders(alone, store)
    known = require_known(alone, store)  # which refuses what is to be read first
    unread = [item.name for item in plan(known) if isinstance(item, Corpus) and not item.is_known]
    assert unread == ["absent"]
    assert resolve(alone, store) == known
