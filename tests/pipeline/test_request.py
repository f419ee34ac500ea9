"""`wavlm evaluate`: what a command line asks for becomes a recipe; what is missing is set aside and named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.requests import request_system
from tests.flows.tones import write_tones
from tests.nn.networks import base, lively
from wavlm.corpus.made import espeak
from wavlm.errors import UsageError
from wavlm.evaluation.results.groups import TASKS
from wavlm.export.hf import write_hf
from wavlm.pipeline.artifacts import Evaluation, Finetune
from wavlm.pipeline.check import NotReadyError
from wavlm.pipeline.plan import plan
from wavlm.pipeline.request import (
    reference_of,
    set_absent_aside,
    set_missing_aside,
    write_finetune_request,
    write_request,
)
from wavlm.pipeline.store import Store
from wavlm.specs.eend import FrameEncoderSpec, VectorHead
from wavlm.specs.lookup import shipped_specs
from wavlm.specs.system_file import read_finetune, read_systems
from wavlm.specs.tree import RecipeError
from wavlm.specs.yaml import find_suite, read_recipe


def test_a_request_is_a_recipe_that_evaluates_each_task_of_the_suite(tmp_path: Path) -> None:
    suite = find_suite(write_tones(tmp_path, {"first": "tones", "second": "tones"}))
    store = Store(tmp_path / "store")
    path = write_request("fbank", suite, store)
    assert path.is_relative_to(store.root)
    recipe = read_recipe(path)
    assert recipe.evaluate is not None
    assert recipe.evaluate.evaluations == suite.evaluations
    wanted = [item for item in plan(recipe) if isinstance(item, Evaluation)]
    assert [(item.spec.name, item.subject_name) for item in wanted] == [("first", "fbank"), ("second", "fbank")]
    before = path.read_bytes()
    assert write_request("fbank", suite, store).read_bytes() == before


def test_models_of_one_name_have_requests_of_their_own(tmp_path: Path) -> None:
    """Each of two runs at once reads its recipe again when all is done."""
    suite, store = find_suite(write_tones(tmp_path, {"first": "tones"})), Store(tmp_path / "store")
    for run in ("one", "two"):
        write_hf(lively(base(gated_bias=False)), tmp_path / run / "hf")
    asked = [write_request(f"{tmp_path}/{run}/hf", suite, store) for run in ("one", "two", "one")]
    assert asked[0] == asked[2] != asked[1]
    sources = [read_recipe(path).models["hf"].folder for path in asked[:2]]
    assert [it and it.path for it in sources] == [f"{tmp_path}/{run}/hf" for run in ("one", "two")]


def test_a_system_on_each_of_two_models_has_a_request_of_its_own(tmp_path: Path) -> None:
    spec, store = read_finetune(Path("ks-small")), Store(tmp_path / "store")
    asked = [write_finetune_request((spec,), model, store) for model in ("random:tiny", "random:small", "random:tiny")]
    assert asked[0] == asked[2] != asked[1]
    assert [read_recipe(path).finetune[0].name for path in asked] == [spec.name] * 3


@pytest.mark.parametrize("version", [1, 2])
def test_a_long_name_is_cut_and_still_tells_versions_apart(tmp_path: Path, version: int) -> None:
    suite = find_suite(write_tones(tmp_path, {"first": "tones"})).model_copy(update={"name": "s" * 60})
    path = write_request(f"my-model:{version}", suite, Store(tmp_path / "store"))
    other = write_request("my-model:3", suite, Store(tmp_path / "store"))
    assert path != other
    assert read_recipe(path).name == path.stem


def test_a_random_network_of_a_file_is_a_baseline(tmp_path: Path) -> None:
    suite = find_suite(write_tones(tmp_path, {"first": "tones"}))
    recipe = read_recipe(write_request(f"random:{tmp_path}/networks/tiny.yaml", suite, Store(tmp_path / "store")))
    (wanted,) = (item for item in plan(recipe) if isinstance(item, Evaluation))
    assert wanted.subject_name == "random"


@pytest.mark.parametrize(
    ("file", "old", "new", "found"),
    [
        ("suites/tones", "[first]", "[first, first]", "the evaluation first is named twice"),
        ("evaluations/first", "[1e-2]", "[1e-2, 1e-3, 0.01]", "0.01 is tried twice, expected each once"),
        ("evaluations/first", "[1e-2]", "[1e-2, 0.01000000001]", "0.01 is tried twice"),  # their fits are one file
        ("evaluations/first", "updates: 20", "updates: 20, seeds: [3, 3]", "3 is tried twice"),
    ],
)
def test_what_is_named_twice_is_refused_with_its_file(
    file: str, old: str, new: str, found: str, tmp_path: Path
) -> None:
    suite, path = write_tones(tmp_path, {"first": "tones"}), tmp_path / f"{file}.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(RecipeError, match=found) as refused:
        find_suite(suite)
    assert path.name in str(refused.value)


def test_one_evaluation_is_a_suite_of_its_own(tmp_path: Path) -> None:
    write_tones(tmp_path, {"first": "tones"})
    suite = find_suite(tmp_path / "evaluations/first.yaml")
    assert [item.name for item in suite.evaluations] == ["first"]


@pytest.mark.parametrize(
    ("model", "reference"),
    [
        ("wavlm-demo@champion", "wavlm-demo@champion"),
        ("models:/wavlm-demo@champion", "wavlm-demo@champion"),
        ("models:/wavlm-demo/3", "wavlm-demo:3"),
        ("wavlm-demo:3", "wavlm-demo:3"),
        ("fbank", None),
        ("random:wavlm-base", None),
        ("no such thing", None),
    ],
)
def test_names_of_registered_models_are_told_from_others(model: str, reference: str | None) -> None:
    assert reference_of(model) == reference


def test_what_is_neither_a_model_nor_a_baseline_is_refused(tmp_path: Path) -> None:
    suite = find_suite(write_tones(tmp_path, {"first": "tones"}))
    with pytest.raises(UsageError, match="SUBJECT_UNKNOWN"):
        write_request("no such thing", suite, Store(tmp_path / "store"))


def test_a_task_whose_corpus_is_missing_is_set_aside_and_the_others_stay(tmp_path: Path) -> None:
    suite = find_suite(write_tones(tmp_path, {"first": "tones", "second": "absent"}))
    ready, missing = set_missing_aside(suite)
    assert [item.name for item in ready.evaluations] == ["first"]
    (problem,) = missing
    assert problem.code == "FOLDER_MISSING"
    assert "https://example.org/absent" in str(problem)


def test_a_suite_of_which_nothing_can_run_is_refused(tmp_path: Path) -> None:
    suite = find_suite(write_tones(tmp_path, {"second": "absent"}))
    with pytest.raises(NotReadyError, match="FOLDER_MISSING"):
        set_missing_aside(suite)


def test_released_models_that_are_there_are_rows_beside_the_model_and_the_others_are_named(tmp_path: Path) -> None:
    path = write_tones(tmp_path, {"first": "tones"})
    path.write_text(path.read_text().replace("baselines: []", "baselines: [random]\nreferences: [there, absent]"))
    for name in ("there", "absent"):
        (tmp_path / "models").mkdir(exist_ok=True)
        (tmp_path / f"models/{name}.yaml").write_text(f"source: {{type: folder, path: ../files/{name}}}\n")
    write_hf(lively(base(gated_bias=False)), tmp_path / "files/there")
    write_hf(lively(base()), tmp_path / "files/mine")
    suite, lines = set_absent_aside(find_suite(path))
    assert lines == [
        f"no rows for absent (no model at {tmp_path}/models/../files/absent); their files in data_specs/models say "
        "where to get them"
    ]
    store = Store(tmp_path / "store")
    wanted = [
        it
        for it in plan(read_recipe(write_request(f"{tmp_path}/files/mine", suite, store)))
        if isinstance(it, Evaluation)
    ]
    assert sorted(it.subject_name for it in wanted) == ["mine", "random", "there"]  # one random network: that of mine
    alone = plan(read_recipe(write_request("fbank", suite, store)))
    assert [it.subject_name for it in alone if isinstance(it, Evaluation)] == ["fbank"]


def test_what_a_synthesiser_makes_is_missing_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    suite = find_suite(Path("small"))
    assert set_missing_aside(suite) == (suite, [])
    monkeypatch.setattr(espeak, "PACKAGE", "no_such_package")
    ready, missing = set_missing_aside(suite)
    assert [it.task.type for it in suite.evaluations if it not in ready.evaluations] == ["ic", "sf", "er"]
    assert {(problem.code, "wavlm-pipeline[evaluation]" in str(problem)) for problem in missing} == {
        ("PACKAGE_MISSING", True)
    }


def test_all_of_superb_can_be_asked_for() -> None:
    """Audio SNIPS has a table of names in its layout."""
    suite = find_suite(Path("superb"))
    ready, missing = set_missing_aside(suite)
    assert len(ready.evaluations) < len(suite.evaluations)
    assert any("audio-snips" in str(problem) for problem in missing)


def test_the_small_suite_has_all_fifteen_tasks_once() -> None:
    assert sorted(it.task.type for it in find_suite(Path("small")).evaluations) == sorted(TASKS)


def test_a_system_that_goes_on_from_another_is_planned_behind_it_and_its_key_depends_on_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    specs = read_systems("sd-eend-vc-ami")
    assert [item.name for item in specs] == ["sd-eend-vc-fbank", "sd-eend-vc-ami"]
    first, onward = _systems(write_finetune_request(specs, "fbank", store))
    assert onward.subject == first
    assert first.subject == onward.stands_on
    other = specs[0].model_copy(update={"seed": 1})
    changed = _systems(write_finetune_request((other, specs[1]), "fbank", store))
    assert [item.spec.seed for item in changed] == [1, 0]
    assert changed[1].key != onward.key
    assert [item.key for item in _systems(Path("sd-eend-vc-ami"))] == [first.key, onward.key]  # as a recipe


def test_what_a_system_cannot_go_on_from_is_refused_when_its_recipe_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    first, onward = read_systems("sd-eend-vc-ami")
    narrow = VectorHead(type="eend_vc", encoder=FrameEncoderSpec(width=64))
    with pytest.raises(RecipeError, match="is not that of sd-eend-vc-fbank"):
        read_recipe(write_finetune_request((first.model_copy(update={"head": narrow}), onward), "fbank", store))
    with pytest.raises(RecipeError, match="neither a system before this one nor a model"):
        read_recipe(write_finetune_request((first, onward.model_copy(update={"system": "nobody"})), "fbank", store))
    loop = tmp_path / "finetunes" / "loop.yaml"
    loop.parent.mkdir()
    text = (shipped_specs() / "finetunes" / "sd-eend-vc-ami.yaml").read_text()
    text = text.replace("name: sd-eend-vc-ami", "name: loop")
    loop.write_text(text.replace("system: sd-eend-vc-fbank", "system: loop"))
    with pytest.raises(RecipeError, match="goes on from itself"):
        read_systems(loop)
    with pytest.raises(UsageError, match="leave one of them out"):
        request_system(Path("sd-eend-vc-fbank"), "fbank", store, going_on_from="talks@best")


def _systems(recipe: Path) -> list[Finetune]:
    return [item for item in plan(read_recipe(recipe)) if isinstance(item, Finetune)]
