"""A second `wavlm deploy`: what it does not name stays as it was, and no other recipe loses its deployments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.cli.deploy import _portable
from flows.deploy.changes import flatten
from flows.deploy.earlier import options_of, require_same
from flows.deploy.options import choose
from flows.deploy.wanted import Options, want_deployments
from tests.tasks.conftest import recipe_of
from wavlm.errors import UsageError
from wavlm.execution.runtime import Runtime

BEFORE = Options(
    recipe="/recipes/tiny.yaml", store=Path("/store"), runtime=Runtime(gpus=8, workers=16, tracking=False),
    data_pool="data", training_pool="trainers", nightly="15 2 * * *", weekly="30 4 * * 6", timezone="Europe/Prague",
    image="wavlm:1", environment=(("MLFLOW_TRACKING_URI", "http://mlflow"),),
)  # fmt: skip
DEFAULTS: Mapping[str, Any] = {
    "recipe": "/recipes/tiny.yaml", "store": Path("/here/store"), "data_pool": "cpu", "training_pool": None,
    "nightly": None, "weekly": None, "timezone": "UTC", "after_prepare": False, "webhook": None, "image": None,
    "environment": (), "downloads": None, "trainings": None, "reset": False,
}  # fmt: skip


def deploy_again(before: Options, **given: Any) -> Options:
    """The options of a command that names only what is given."""
    written = {item.flow: flatten(item.fields()) for item in reversed(want_deployments(recipe_of(None), before))}
    runtime = Runtime().model_dump()
    return choose(
        {**DEFAULTS, **{name: value for name, value in given.items() if name in DEFAULTS}},
        {**runtime, **{name: value for name, value in given.items() if name in runtime}},
        given.keys(),
        options_of(written),
    )


def test_what_is_not_named_stays() -> None:
    assert deploy_again(BEFORE) == BEFORE
    assert deploy_again(BEFORE, reset=True) == replace(BEFORE, reset=True)


def test_what_is_named_changes_alone() -> None:
    changed = deploy_again(BEFORE, workers=2, nightly="0 3 * * *", environment=(("A", "b"),))
    assert changed == replace(
        BEFORE, runtime=Runtime(gpus=8, tracking=False), nightly="0 3 * * *",
        environment=(*BEFORE.environment, ("A", "b")),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("pools", "gpus", "given", "expected"),
    [
        (("data", "trainers"), 8, {"gpus": 4}, "trainers"),
        (("data", "trainers"), 8, {"gpus": 0}, "data"),
        (("cpu", "cpu"), 0, {"gpus": 2}, "gpu"),
        (("cpu", "cpu"), 8, {"gpus": 4}, "cpu"),
        (("cpu", "cpu"), 8, {"data_pool": "other"}, "other"),
        (("cpu", "gpu"), 8, {"training_pool": "big"}, "big"),
    ],
)
def test_training_stays_in_its_pool(pools: tuple[str, str], gpus: int, given: dict[str, Any], expected: str) -> None:
    before = replace(BEFORE, data_pool=pools[0], training_pool=pools[1], runtime=Runtime(gpus=gpus))
    assert deploy_again(before, **given).training_pool == expected


def test_the_first_time_the_defaults_count() -> None:
    found = choose(DEFAULTS, {"gpus": 0}, set(), None)
    assert (found.training_pool, found.store, found.runtime) == ("cpu", Path("/here/store"), Runtime())
    assert choose(DEFAULTS, {"gpus": 1}, {"gpus"}, None).training_pool == "gpu"


@pytest.mark.parametrize(("field", "other"), [("recipe", "/others/tiny.yaml"), ("store", Path("/other"))])
def test_another_recipe_of_the_same_name_is_refused(field: str, other: Any) -> None:
    changed = replace(BEFORE, **{field: other})
    with pytest.raises(UsageError, match="DEPLOYMENT_TAKEN: ") as refused:
        require_same(BEFORE, changed, "tiny")
    assert str(getattr(BEFORE, field)) in str(refused.value)
    assert str(other) in str(refused.value)
    require_same(BEFORE, replace(changed, reset=True), "tiny")
    require_same(BEFORE, BEFORE, "tiny")
    require_same(None, changed, "tiny")


def test_a_shipped_recipe_goes_by_its_name_and_a_file_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").write_text("name: mine")
    assert _portable(Path("demo")) == "demo"
    assert _portable(Path("mine")) == str(tmp_path / "mine")
    assert _portable(Path("recipes/other.yaml")) == str(tmp_path / "recipes" / "other.yaml")
