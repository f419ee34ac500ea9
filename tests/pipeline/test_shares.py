"""The plan shows what a codebook is or will be fitted on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tasks.conftest import SHARDS, build, recipe_of, spec_of
from wavlm.pipeline.artifacts import Codebook, Model
from wavlm.pipeline.plan import models, plan
from wavlm.pipeline.selection import select
from wavlm.pipeline.shares import describe_shares, sample_shares
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe
from wavlm.specs.yaml import read_recipe

RECIPES = Path(__file__).parents[2] / "data_specs" / "recipes"


def two_corpora(**codebook: object) -> Recipe:
    """60 and 20 expected hours; the first iteration, with other fields of its codebook."""
    recipe = recipe_of(None)
    voice, choir = (
        spec_of(name, "speech").model_copy(update={"expected_hours": hours})
        for name, hours in (("voice", 60.0), ("choir", 20.0))
    )
    first = recipe.iterations[0]
    first = first.model_copy(update={"codebook": first.codebook.model_copy(update=codebook)})
    return recipe.model_copy(update={"speech": (voice, choir), "iterations": (first,)})


def codebook_of(recipe: Recipe) -> Codebook:
    (codebook,) = select(plan(recipe), "codebook")
    assert isinstance(codebook, Codebook)
    return codebook


def test_shares_to_expect_are_those_of_the_publishers_hours(tmp_path: Path) -> None:
    assert describe_shares(codebook_of(two_corpora()), Store(tmp_path)) == "sample: voice 75.0%, choir 25.0%"


def test_hours_of_the_store_come_before_those_of_the_publisher(tmp_path: Path) -> None:
    store, codebook = Store(tmp_path), codebook_of(two_corpora())
    for shards in codebook.shards:
        for artifact in (shards.corpus, shards):
            store.make(artifact, lambda out, item=artifact: build(item, store, out))
    assert [item.share for item in sample_shares(codebook, store)] == [0.5, 0.5]  # SHARDS has the hours of both
    assert SHARDS.hours > 0


def test_shares_that_are_given_are_shown_and_a_codebook_names_its_corpora(tmp_path: Path) -> None:
    given = codebook_of(two_corpora(speech=("choir", "voice"), shares=(3.0, 1.0)))
    assert describe_shares(given, Store(tmp_path)) == "sample: choir 75.0%, voice 25.0%"
    assert describe_shares(codebook_of(two_corpora(speech=("choir",))), Store(tmp_path)) == "sample: choir 100.0%"


def test_unknown_hours_are_shown_as_unknown(tmp_path: Path) -> None:
    recipe = two_corpora()
    voice, choir = recipe.speech
    unknown = recipe.model_copy(update={"speech": (voice, choir.model_copy(update={"expected_hours": 0.0}))})
    assert describe_shares(codebook_of(unknown), Store(tmp_path)) == "sample: voice ?, choir ?"


def test_a_complete_codebook_shows_what_was_drawn(tmp_path: Path) -> None:
    store, recipe = Store(tmp_path), two_corpora()
    for artifact in plan(recipe):
        if artifact.kind in ("corpus", "shards", "codebook"):
            store.make(artifact, lambda out, item=artifact: build(item, store, out))
    assert describe_shares(codebook_of(recipe), store) == "sample: voice 50.0%, choir 50.0%"


@pytest.mark.parametrize("name", ["wavlm-base-plus", "wavlm-large"])
def test_the_papers_last_codebook_is_fitted_on_librispeech_and_labels_the_94000_hours(name: str) -> None:
    last: Model = models(plan(read_recipe(RECIPES / f"{name}.yaml")))[-1]
    assert last.codebook is not None
    fitted_on = [item.corpus.name for item in last.codebook.shards]
    assert fitted_on == ["librispeech-train-clean-100", "librispeech-train-clean-360", "librispeech-train-other-500"]
    assert not {item.corpus.name for item in last.shards} & set(fitted_on)
