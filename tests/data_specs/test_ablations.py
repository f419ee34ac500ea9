"""Recipes of ablations differ from what they are compared with in one thing, and share all that it leaves alone."""

from __future__ import annotations

import pytest

from tests.data_specs.golden import SPECS
from wavlm.pipeline.plan import models, plan
from wavlm.specs import Recipe
from wavlm.specs.yaml import read_recipe


def read(name: str) -> Recipe:
    return read_recipe(SPECS / "recipes" / f"{name}.yaml")


@pytest.mark.parametrize("whole", ["wavlm-base", "demo"])
def test_without_mixing_the_second_model_has_the_same_labels_network_and_training_but_no_mix(whole: str) -> None:
    first, second = models(plan(read(whole)))
    other_first, other = models(plan(read(f"{whole}-no-mixing")))
    assert other_first.key == first.key
    assert [item.key for item in other.labels] == [item.key for item in second.labels]
    assert (other.network, other.train) == (second.network, second.train)
    assert second.mix is not None
    assert other.mix is None


@pytest.mark.parametrize("whole", ["wavlm-base", "demo"])
def test_without_the_gate_the_second_model_differs_in_the_relative_position_bias_alone(whole: str) -> None:
    first, second = models(plan(read(whole)))
    other_first, other = models(plan(read(f"{whole}-no-gate")))
    assert other_first.key == first.key
    assert [item.key for item in other.labels] == [item.key for item in second.labels]
    assert (other.mix, other.train) == (second.mix, second.train)
    assert second.network.gated_bias
    assert other.network == second.network.model_copy(update={"gated_bias": False})
