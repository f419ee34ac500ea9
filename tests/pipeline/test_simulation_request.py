"""Files of simulations, and the recipe that makes what conversations are made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavlm.pipeline.artifacts import Finetune, Shards, Simulation
from wavlm.pipeline.cost import FLAC_BYTES_PER_SECOND, cost
from wavlm.pipeline.plan import plan
from wavlm.pipeline.resolve import corpora_of, resolve
from wavlm.pipeline.simulation_request import write_sources
from wavlm.pipeline.store import Store
from wavlm.specs.lookup import shipped_specs
from wavlm.specs.simulation import SimulationSpec
from wavlm.specs.simulation_file import find_simulation, read_simulation
from wavlm.specs.tree import RecipeError
from wavlm.specs.yaml import read_recipe

SHIPPED = sorted((shipped_specs() / "simulations").glob("*.yaml"))
SYSTEM = """
name: mine-sd
description: d
registry_name: mine-sd
model: fbank
task: {type: sd, speakers: 2}
head: {type: eend_eda}
simulation: mine
split: {type: parts, train: [train], dev: [dev], test: [test]}
stages: [{updates: 1, batch_seconds: 2, group_seconds: 2, peak_lr: 1.0e-3, frozen: all, dev_every: 1}]
"""
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


def test_a_system_on_simulated_conversations_has_them_made_before_it_and_its_key_depends_on_their_seed(
    tmp_path: Path,
) -> None:
    plans = {}
    for seed in (0, 1):
        specs = tmp_path / str(seed)
        (specs / "simulations").mkdir(parents=True)
        (specs / "simulations" / "mine.yaml").write_text(f"{TEXT}dev: 1\ntest: 1\nseed: {seed}\n")
        (specs / "mine-sd.yaml").write_text(SYSTEM)
        plans[seed] = plan(read_recipe(specs / "mine-sd.yaml"))
    kinds = [item.kind for item in plans[0]]
    assert kinds == ["corpus", "shards", "simulation", "finetune", "register_system"]
    (simulation,) = (item for item in plans[0] if isinstance(item, Simulation))
    (system,) = (item for item in plans[0] if isinstance(item, Finetune))
    assert system.simulation == simulation
    assert [shards.corpus.name for shards in simulation.speech] == ["kajongg-en"]
    for number, is_same in ((1, True), (2, False), (3, False)):
        assert (plans[0][number].key == plans[1][number].key) == is_same
    recipe = read_recipe(tmp_path / "0" / "mine-sd.yaml")
    (found,) = (stage for stage in cost(recipe).stages if stage.stage == "simulation")
    # 5 conversations of 2 to 6 speakers with 10 to 20 utterances of 10 s and pauses of 1 s: 5 x 4 x 15 x 11 s
    assert found.disk_gigabytes.known == pytest.approx(3300 * FLAC_BYTES_PER_SECOND / 1e9)
    changed = resolve(recipe, Store(tmp_path / "store")).finetune[0].simulation
    assert changed is not None
    assert [it.name for it in corpora_of(recipe)] == [it.name for it in changed.corpora]


def test_a_system_without_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine-sd.yaml").write_text(SYSTEM.replace("simulation: mine\n", ""))
    with pytest.raises(RecipeError, match="name one corpus or more, or a simulation"):
        read_recipe(tmp_path / "mine-sd.yaml")
