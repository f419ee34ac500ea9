"""Every option of the command line that says how to run arrives in the flow, and is the only one that changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import flows.cli.orchestrated
import flows.cli.summary
import flows.ready
from flows.cli.main import app
from wavlm.execution.runtime import Runtime

RECIPE = str(Path(__file__).parents[2] / "data_specs" / "recipes" / "demo.yaml")
OPTIONS = {
    # field: options of `run`, and the value that they ask for
    "workers": (["--workers", "3"], 3),
    "gpus": (["--gpus", "4"], 4),
    "processes": (["--processes", "5"], 5),
    "threads": (["--threads", "6"], 6),
    "snapshot_every": (["--snapshot-every", "7"], 7),
    "compile": (["--compile"], True),
    "checkpoint_activations": (["--checkpoint-activations"], True),
    "shard_parameters": (["--shard-parameters"], True),
    "tracking": (["--no-tracking"], False),
    "experiment": (["--experiment", "mine"], "mine"),
    "require_registry": (["--require-registry"], True),
    "scratch": (["--scratch", "/local"], "/local"),
    "nodes": (["--nodes", "4"], 4),
    "launcher": (["--launcher", "srun --ntasks-per-node=1"], "srun --ntasks-per-node=1"),
    "address": (["--address", "10.0.0.7"], "10.0.0.7"),
    "restarts": (["--restarts", "3"], 3),
    "executor": (["--executor", "dask"], "dask"),
    "cluster": (["--cluster", "tcp://10.0.0.7:8786"], "tcp://10.0.0.7:8786"),
    "mirror": (["--mirror", "s3://bucket/lab"], "s3://bucket/lab"),
    "cache": (["--cache", "/local/tars"], "/local/tars"),
    "cache_gigabytes": (["--cache-gigabytes", "8"], 8),
}
NO_OPTION = {"downloads", "keep_snapshots", "side_by_side", "wait_minutes"}  # parameters of a deployment
OF_STAGE = ("workers", "gpus", "processes", "threads")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command asks a flow for; nothing is made."""
    found: dict[str, Any] = {}

    def run_flow(_load: object, _root: object, _is_done: object, **parameters: Any) -> None:
        found.update(parameters)

    monkeypatch.setattr(flows.cli.orchestrated, "run_flow", run_flow)
    monkeypatch.setattr(flows.cli.summary, "show_summary", lambda *_: None)
    monkeypatch.setattr(flows.ready, "check_ready", lambda *_, **__: None)
    return found


def invoke(store: Path, *words: str) -> None:
    CliRunner().invoke(app, [*words, "--store", str(store)])  # `stage` ends with an error: nothing was made


def test_every_field_has_an_option_or_is_listed() -> None:
    assert {*OPTIONS, *NO_OPTION} == set(Runtime.model_fields)


def test_without_options_the_flow_runs_as_the_defaults_say(asked: dict[str, Any], tmp_path: Path) -> None:
    invoke(tmp_path, "run", RECIPE)
    assert asked["runtime"] == Runtime()


@pytest.mark.parametrize("field", OPTIONS)
def test_an_option_of_run_changes_its_field_and_no_other(field: str, asked: dict[str, Any], tmp_path: Path) -> None:
    words, value = OPTIONS[field]
    assert value != Runtime.model_fields[field].default
    invoke(tmp_path, "run", RECIPE, *words)
    assert asked["runtime"] == Runtime(**{field: value})
    assert (asked["recipe"], asked["store"], asked["until"]) == (RECIPE, str(tmp_path), None)


@pytest.mark.parametrize("field", OF_STAGE)
def test_an_option_of_stage_changes_its_field_and_no_other(field: str, asked: dict[str, Any], tmp_path: Path) -> None:
    words, value = OPTIONS[field]
    invoke(tmp_path, "stage", "corpus", RECIPE, *words)
    assert asked["runtime"] == Runtime(**{field: value})


def test_what_a_stage_is_asked_for_arrives(asked: dict[str, Any], tmp_path: Path) -> None:
    invoke(tmp_path, "stage", "corpus", RECIPE, "--corpus", "festvox-ru", "--redo")
    names = ("kind", "recipe", "iteration", "corpus", "redo", "store")
    assert [asked[name] for name in names] == ["corpus", RECIPE, None, "festvox-ru", True, str(tmp_path)]


def test_a_run_stops_where_it_is_asked_to(asked: dict[str, Any], tmp_path: Path) -> None:
    invoke(tmp_path, "run", RECIPE, "--until", "labels")
    assert asked["until"] == "labels"
