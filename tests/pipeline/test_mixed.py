"""A recipe that asks for mixed speech, and whose micro-batches hold one crop, says so: nothing would be mixed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from wavlm.execution.runtime import Runtime
from wavlm.mixing.counts import MixingFacts
from wavlm.pipeline.artifacts import Model
from wavlm.pipeline.check import Remark, find
from wavlm.pipeline.mixed import describe_shortfall, expect_alone
from wavlm.pipeline.plan import models, plan
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe
from wavlm.specs.yaml import read_recipe

RECIPES = Path(__file__).parents[2] / "data_specs" / "recipes"


@pytest.fixture
def recipe() -> Recipe:
    return read_recipe(RECIPES / "demo.yaml")


def with_groups(model: Model, group_seconds: float) -> Model:
    return replace(model, train=model.train.model_copy(update={"group_seconds": group_seconds}))


def test_every_shipped_recipe_that_mixes_has_two_crops_in_a_micro_batch() -> None:
    for path in sorted(RECIPES.glob("*.yaml")):
        for model in models(plan(read_recipe(path))):
            assert expect_alone(model) == "", path.name


def test_one_crop_in_a_micro_batch_is_said_before_training(recipe: Recipe) -> None:
    first, second = models(plan(recipe))
    alone = with_groups(second, 5.0)
    assert expect_alone(alone).startswith("micro-batches of 5 s hold one crop of 3 s")
    assert "raise group_seconds to 6" in expect_alone(alone)
    assert expect_alone(with_groups(first, 3.0)) == ""  # nothing is mixed there


def test_the_check_of_a_run_warns(recipe: Recipe, tmp_path: Path) -> None:
    second = with_groups(models(plan(recipe))[1], 3.0)
    found = [item for item in find(recipe, [second], Store(tmp_path), Runtime()) if isinstance(item, Remark)]
    assert any(item.is_warning and "iteration 2: micro-batches of 3 s" in item.text for item in found)


@pytest.mark.parametrize(("with_speech", "is_said"), [(0, True), (49, True), (50, False), (100, False)])
def test_too_little_mixed_speech_is_said_after_training(recipe: Recipe, with_speech: int, *, is_said: bool) -> None:
    # robust mixes 0.2 of the utterances, half of them with noise: 10 % with speech.
    facts = MixingFacts(
        utterances=1000,
        with_speech=with_speech,
        with_noise=100,
        mean_speech_ratio_db=0,
        mean_noise_ratio_db=0,
        effects={},
    )
    text = describe_shortfall(models(plan(recipe))[1], facts)
    assert bool(text) == is_said
    if is_said:
        assert f"{with_speech / 10:.1f} % of its utterances were mixed with another one" in text
        assert "asks for 10 %" in text
