"""The shipped mixes are used, and every effect is reached by a shipped recipe."""

from __future__ import annotations

from typing import get_args

import pytest

from tests.data_specs.golden import SPECS
from wavlm.pipeline.artifacts import Mixtures
from wavlm.pipeline.plan import models, plan
from wavlm.specs import EffectName, Recipe
from wavlm.specs.system_file import read_finetune
from wavlm.specs.yaml import read_recipe

RECIPES = {path.stem: read_recipe(path) for path in sorted((SPECS / "recipes").glob("*.yaml"))}
WITH_EFFECTS = ("demo", "demo-no-gate", "mini-librispeech")


def effects_of(recipe: Recipe) -> set[str]:
    return {effect.name for item in recipe.iterations if item.mix for effect in item.mix.effects if effect.probability}


def test_every_effect_is_reached_by_a_recipe() -> None:
    reached = set().union(*map(effects_of, RECIPES.values()))
    assert sorted(reached) == sorted(get_args(EffectName))


def test_every_mix_is_used_by_a_recipe() -> None:
    used = {item.mix.name for recipe in RECIPES.values() for item in recipe.iterations if item.mix}
    systems = [read_finetune(path) for path in sorted((SPECS / "finetunes").glob("*.yaml"))]
    used |= {system.mix.name for system in systems if system.mix}
    assert used == {path.stem for path in (SPECS / "mixes").glob("*.yaml")}


def test_the_demos_have_band_limits_gain_codecs_and_noise_and_the_paper_has_no_effect() -> None:
    for name, recipe in RECIPES.items():
        found = effects_of(recipe)
        if name in WITH_EFFECTS:
            assert {"low_pass", "high_pass", "band_pass", "gain", "codec", "mp3", "gaussian_snr"} <= found, name
            assert ("room" in found) == bool(recipe.rooms), name
            assert not recipe.iterations[0].mix, name
        else:
            assert not found, name


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_fixed_mixtures_are_as_long_as_the_crops_of_the_training_that_they_validate(name: str) -> None:
    for model in models(plan(RECIPES[name])):
        if isinstance(model.mixtures, Mixtures):
            longest_s = min(model.train.max_crop_seconds, model.train.group_seconds)
            assert model.mixtures.spec.max_seconds <= longest_s
            assert [effect.name for effect in model.mixtures.mix.effects].count("room") == len(model.mixtures.rooms)
