"""Files of simulations, and the recipe that makes what conversations are made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavlm.pipeline.artifacts import Shards
from wavlm.pipeline.plan import plan
from wavlm.pipeline.simulation_request import write_sources
from wavlm.pipeline.store import Store
from wavlm.specs.lookup import shipped_specs
from wavlm.specs.simulation import SimulationSpec
from wavlm.specs.simulation_file import find_simulation, read_simulation
from wavlm.specs.tree import RecipeError
from wavlm.specs.yaml import read_recipe

SHIPPED = sorted((shipped_specs() / "simulations").glob("*.yaml"))
TEXT = "name: mine\ndescription: d\ncorpora: [kajongg-en]\ntrain: 3\n"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_simulation_plans_the_shards_of_its_corpora_and_nothing_else(path: Path, tmp_path: Path) -> None:
    spec = find_simulation(Path(path.stem))
    wanted = [item for item in plan(read_recipe(write_sources(spec, Store(tmp_path)))) if isinstance(item, Shards)]
    named = (*spec.corpora, *spec.noise, *spec.rooms)
    assert sorted(item.corpus.name for item in wanted) == sorted(it.name for it in named)
    assert {item.spec for item in wanted} == {spec.shards}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT.replace("kajongg-en", "kajong-en"), "found 'kajong-en', expected one of .*did you mean kajongg-en"),
        (TEXT + "noise: [kajongg-en]\n", "found 'kajongg-en', a corpus of role 'evaluation', expected noise"),
        (TEXT + "speakers: [4, 2]\n", "the lower bound 4 is above the upper bound 2"),
        (TEXT + "pauses: {type: uniform, low: 2.0, high: 1.0}\n", "the shortest 2.0 is above the longest 1.0"),
        (TEXT + "pauses: {type: exponential}\n", "mean"),
        (TEXT.replace("train: 3", "train: 0"), "no conversation is asked for"),
        (TEXT.replace("mine", "other"), "found 'other', expected 'mine', the name of its file"),
    ],
)
def test_a_wrong_simulation_is_refused_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(RecipeError, match=message) as caught:
        read_simulation(tmp_path / "mine.yaml")
    assert "mine.yaml:" in str(caught.value)


def test_an_unknown_name_lists_what_is_shipped() -> None:
    with pytest.raises(RecipeError, match=r"no shipped simulation, expected a path or one of .*conversations-small"):
        find_simulation(Path("conversation-small"))


def test_fields_of_a_simulation_say_what_they_mean() -> None:
    assert all(field.description for field in SimulationSpec.model_fields.values())
