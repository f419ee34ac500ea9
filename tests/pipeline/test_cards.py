"""The model card names everybody whose recordings the weights come from."""

from pathlib import Path

from tests.tasks.conftest import build, recipe_of, spec_of
from wavlm.pipeline.artifacts import build_order
from wavlm.pipeline.cards import card_of
from wavlm.pipeline.plan import models, plan
from wavlm.pipeline.store import Store


def test_a_card_credits_the_corpora_of_the_teacher_too(tmp_path: Path) -> None:
    recipe = recipe_of(None)
    first, second = recipe.iterations
    recipe = recipe.model_copy(
        update={
            "speech": (spec_of("voice", "speech"), spec_of("choir", "speech")),
            "iterations": (
                first.model_copy(update={"speech": ("voice",), "mix": None}),
                second.model_copy(update={"speech": ("choir",)}),
            ),
        }
    )
    cards = [card_of(model, Store(tmp_path)) for model in models(plan(recipe))]
    names = [[corpus.name for corpus in card.origins] for card in cards]
    assert names == [["voice"], ["voice", "choir", "bangs"]]


def test_a_card_says_what_the_labels_were_made_from(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = models(plan(recipe_of(None)))
    for artifact in build_order([second]):
        store.make(artifact, lambda out, item=artifact: build(item, store, out))
    names = [[name for name in card_of(model, store).numbers if "PNMI" in name] for model in (first, second)]
    assert names == [["PNMI of the labels, made from MFCC"], ["PNMI of the labels, made by its teacher"]]


def test_a_card_says_in_which_precision_a_model_was_trained(tmp_path: Path) -> None:
    store = Store(tmp_path)
    recipe = recipe_of(None)
    first, second = recipe.iterations
    train = second.train.model_copy(update={"precision": "bf16"})
    recipe = recipe.model_copy(update={"iterations": (first, second.model_copy(update={"train": train}))})
    trained = models(plan(recipe))
    for artifact in build_order([trained[1]]):
        store.make(artifact, lambda out, item=artifact: build(item, store, out))
    found = [card_of(model, store).numbers.get("precision of the training") for model in trained]
    assert found == ["fp32", "bf16"]
