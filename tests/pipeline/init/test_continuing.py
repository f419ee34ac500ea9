"""A recipe that continues from a model: its layer, its weights, its network, a lower rate."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.init.test_advice import CPU, ONE_GPU, of_hours
from tests.tiny_specs import tiny_network
from wavlm.errors import CodedError
from wavlm.nn import WavLM, save_model
from wavlm.pipeline.init.continuing import Continued, describe_continued, is_reference, of_place, of_version
from wavlm.pipeline.init.corpus_advice import describe_corpus, hold_out
from wavlm.pipeline.init.machine import Machine
from wavlm.pipeline.init.write import to_yaml
from wavlm.specs import ModelFolder, ModelVersion, Recipe
from wavlm.specs.yaml import read_recipe


def recipe_of(folder: Path, model: Continued, hours: float, machine: Machine, *, weekly: bool = False) -> Recipe:
    found = of_hours(hours)
    held = hold_out(found, "mine")
    fields = describe_continued(found, "mine", held, machine, model, weekly=weekly)
    (folder / "corpora").mkdir(exist_ok=True)
    (folder / "corpora" / "mine.yaml").write_text(to_yaml(describe_corpus(found, "mine", "../x", held)))
    (folder / "mine.yaml").write_text(to_yaml(fields))
    return read_recipe(folder / "mine.yaml")


def test_a_model_folder_gives_labels_weights_and_network(tmp_path: Path) -> None:
    network = tiny_network()
    save_model(WavLM(network, 8), tmp_path / "model")
    recipe = recipe_of(tmp_path, of_place(str(tmp_path / "model"), tmp_path), 2.0, CPU)
    (iteration,) = recipe.iterations
    source = recipe.models["base"].source
    assert isinstance(source, ModelFolder)
    assert Path(source.path).resolve() == tmp_path / "model"
    assert iteration.network == network
    assert iteration.codebook.features.model_dump()["model"] == "base"
    assert iteration.start is not None
    assert iteration.start.model == "base"


def test_a_released_model_takes_two_thirds_of_its_depth_and_a_lower_rate(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, of_place("wavlm-base-plus", tmp_path), 50.0, ONE_GPU)
    (iteration,) = recipe.iterations
    assert iteration.codebook.features.model_dump()["layer"] == 8
    assert iteration.codebook.num_clusters == 500
    assert iteration.train.peak_lr <= 1e-4
    assert iteration.train.updates * iteration.train.batch_seconds / 3600 / 50 < 200
    assert iteration.train.warmup_updates == pytest.approx(iteration.train.updates / 10, abs=1)


def test_a_weekly_recipe_starts_from_the_champion_and_keeps_its_labels(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, of_version("other:3", tiny_network(), {1: 0.2, 2: 0.4}), 2.0, CPU, weekly=True)
    (iteration,) = recipe.iterations
    source = recipe.models["champion"].source
    assert isinstance(source, ModelVersion)
    assert source.reference == "other@champion"
    assert recipe.registry_name == "other"
    assert iteration.start is not None
    assert iteration.start.model == "champion"
    assert iteration.codebook.features.model_dump()["model"] == "base"
    assert iteration.codebook.features.model_dump()["layer"] == 2


def test_a_released_model_stands_in_until_there_is_a_champion(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, of_place("wavlm-base-plus", tmp_path), 20.0, ONE_GPU, weekly=True)
    assert recipe.registry_name == "mine"
    assert recipe.models["champion"].first == "base"


@pytest.mark.parametrize(("name", "code"), [("nowhere", "NOT_FOUND"), ("release.pt", "MODEL_NETWORK")])
def test_what_is_no_model_that_can_be_described_is_refused(name: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "release.pt").write_bytes(b"x")
    with pytest.raises(CodedError) as error:
        of_place(str(tmp_path / name), tmp_path)
    assert error.value.code == code


def test_references_are_told_from_paths() -> None:
    assert is_reference("wavlm-mine@champion")
    assert is_reference("wavlm-mine:3")
    assert not is_reference("models/base")
    assert not is_reference("wavlm-base-plus")
