"""Plan, summary and card say what becomes of the head of a model that starts from other weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.cli.plan import describe
from tests.nn.test_start import CLUSTERS, save
from tests.tasks.conftest import build, recipe_of
from tests.tiny_specs import tiny_network
from wavlm.export.card import model_card
from wavlm.pipeline.artifacts import Model, build_order
from wavlm.pipeline.cards import card_of
from wavlm.pipeline.plan import models, plan
from wavlm.pipeline.store import Store
from wavlm.pipeline.summary import summarise
from wavlm.specs import Recipe, StartSpec


def starting_from(start: StartSpec, num_clusters: int) -> Recipe:
    recipe = recipe_of(None)
    first = recipe.iterations[0]
    codebook = first.codebook.model_copy(update={"num_clusters": num_clusters})
    first = first.model_copy(update={"codebook": codebook, "start": start, "network": tiny_network()})
    return recipe.model_copy(update={"iterations": (first,), "probe": None, "mixtures": None})


def model_of(recipe: Recipe) -> Model:
    (model,) = models(plan(recipe))
    return model


@pytest.mark.parametrize(
    ("num_clusters", "is_there", "said"),
    [(CLUSTERS, False, "head is open"), (CLUSTERS, True, "head is kept"), (10, False, "head is fresh")],
)
def test_the_plan_says_whether_a_head_is_kept_or_fresh(
    tmp_path: Path, num_clusters: int, is_there: bool, said: str
) -> None:
    """Before the codebook is there nobody knows whether it is the one that the head was trained for."""
    model, store = model_of(starting_from(save(tmp_path / "model", codebook="0" * 64), num_clusters)), Store(tmp_path)
    for artifact in build_order([model.codebook]) if is_there and model.codebook else ():
        store.make(artifact, lambda out, item=artifact: build(item, store, out))
    (note,) = describe(model, store)
    assert note.startswith("starts from weights with sha256 ")
    assert said in note


def test_the_plan_says_that_weights_cannot_be_used(tmp_path: Path) -> None:
    nowhere = StartSpec(folder=str(tmp_path / "nowhere"), sha256="0" * 64)
    (note,) = describe(model_of(starting_from(nowhere, 10)), Store(tmp_path / "store"))
    assert "cannot be used now: MODEL_UNUSABLE" in note


def test_summary_and_card_say_what_the_training_did(tmp_path: Path) -> None:
    """The folder to start from may be gone by then: the facts of the training tell."""
    store, recipe = Store(tmp_path / "store"), starting_from(StartSpec(folder="gone", sha256="0" * 64), 10)
    for artifact in build_order([model_of(recipe)]):
        store.make(artifact, lambda out, item=artifact: build(item, store, out))
    expected = "weights with sha256 000000000000..., head is random"  # as the made-up facts of this store say
    assert f"Iteration 1 started from {expected}." in summarise(plan(recipe), store).findings
    assert card_of(model_of(recipe), store).numbers["started from"] == expected


def test_the_card_names_the_weights_that_a_teacher_started_from(tmp_path: Path) -> None:
    recipe = recipe_of(None)
    first, second = recipe.iterations
    first = first.model_copy(update={"start": StartSpec(folder="gone", sha256="0" * 64)})
    for iterations, expected in (((first, second), True), (recipe.iterations, False)):
        teacher, model = models(plan(recipe.model_copy(update={"iterations": iterations})))
        card = card_of(model, Store(tmp_path))
        assert ("its teacher of iteration 1 started from" in card.numbers) == expected
        assert ("started from" in card_of(teacher, Store(tmp_path)).numbers) == expected
        text = model_card(card, model.network)
        assert ("What those weights were learnt from is not listed here" in text) == expected


def test_a_model_that_starts_with_random_weights_has_no_such_line(tmp_path: Path) -> None:
    assert list(describe(models(plan(recipe_of(None)))[0], Store(tmp_path))) == []
