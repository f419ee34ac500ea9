"""Every option that says how to run is there in every command that runs stages, arrives, and changes nothing else."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import flows.cli.deploy
import flows.cli.finetune
import flows.cli.orchestrated
import flows.cli.summary
import flows.deploy.apply
import flows.make
import flows.ready
import tasks.requests
import wavlm.pipeline.mirror.sharing
import wavlm.pipeline.request
import wavlm.pipeline.simulation_request
import wavlm.specs.yaml
from flows.cli import runtime as runtime_options
from flows.cli.evaluate import NOT_TAKEN
from flows.cli.main import app
from flows.cli.parts import TAKEN
from tests.folders import read_resolved, write_project
from tests.object_stores import folder_address
from tests.tasks.conftest import build
from wavlm.errors import CodedError, UsageError
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.mirror.sharing import find_lacking, give, has_given
from wavlm.pipeline.plan import plan
from wavlm.pipeline.store import Store

__all__ = ["folder_address"]
RECIPE = str(Path(__file__).parents[2] / "data_specs" / "recipes" / "demo.yaml")
SRUN = "srun --ntasks-per-node=1"
OPTIONS: dict[str, tuple[list[str], Any]] = {
    # field: options of a command, and the value that they ask for
    "workers": (["--workers", "3"], 3),
    "gpus": (["--gpus", "4"], 4),
    "processes": (["--processes", "5"], 5),
    "threads": (["--threads", "6"], 6),
    "snapshot_every": (["--snapshot-every", "7"], 7),
    "compile": (["--compile"], True),
    "checkpoint_activations": (["--checkpoint-activations"], True),
    "shard_parameters": (["--shard-parameters"], True),
    "tracking": (["--no-tracking"], False),
    "wait_minutes": (["--wait", "8"], 8),
    "experiment": (["--experiment", "mine"], "mine"),
    "require_registry": (["--require-registry"], True),
    "scratch": (["--scratch", "/local"], "/local"),
    "nodes": (["--nodes", "4", "--launcher", SRUN], 4),  # some commands take no --nodes without a launcher
    "launcher": (["--launcher", SRUN], SRUN),
    "address": (["--address", "10.0.0.7"], "10.0.0.7"),
    "restarts": (["--restarts", "3"], 3),
    "executor": (["--executor", "dask"], "dask"),
    "cluster": (["--cluster", "tcp://10.0.0.7:8786"], "tcp://10.0.0.7:8786"),
    "downloads": (["--downloads", "9"], 9),
    "side_by_side": (["--side-by-side", "10"], 10),
    "mirror": (["--mirror", "s3://bucket/lab"], "s3://bucket/lab"),
    "cache": (["--cache", "/local/tars"], "/local/tars"),
    "cache_gigabytes": (["--cache-gigabytes", "8"], 8),
    "features_gigabytes": (["--features-gigabytes", "9"], 9),
}
IMPLIED = {"nodes": {"launcher": SRUN}}
# What a command does not take, and why.
NOWHERE = {"keep_snapshots": "a parameter of a deployment"}
LEFT_OUT = {
    "refresh": {"require_registry": "a refresh ends with a version of the registry, so it is always required"},
    "parts": dict.fromkeys(Runtime.model_fields.keys() - TAKEN, "a share is its own executor, and trains nothing"),
    "evaluate": dict.fromkeys(NOT_TAKEN, "an evaluation trains and registers no model"),
    "simulate": dict.fromkeys(NOT_TAKEN, "it trains and registers no model"),
    "finetune": dict.fromkeys(flows.cli.finetune.NOT_TAKEN, "one machine, and nothing compiled or split"),
}
ALWAYS = {"refresh": {"require_registry": True}}
WORDS = {
    "stage": ["corpus", RECIPE],
    "parts": ["shards", RECIPE, "--rank", "0", "--of", "2"],
    "evaluate": ["fbank", "a-suite"],
    "finetune": ["ks-small", "--model", "fbank"],
    "simulate": ["conversations-small", "talks"],
}
# What a command calls that runs stages, checks that they could run, or has them run elsewhere.
RUNS = ("run_flow(", "run_recipe(", "make_share(", "check_ready(", "find_all(", "deployments = apply(")


def commands() -> Iterator[tuple[str, Any]]:
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        for one in getattr(command, "commands", {name: command}).values():
            yield name, one


def runs_stages(command: Any) -> bool:
    return any(call in inspect.getsource(inspect.unwrap(command.callback)) for call in RUNS)


RUNNING = {name: command for name, command in commands() if runs_stages(command)}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the command asks a flow for, or writes to a server; nothing is made."""
    found: dict[str, Any] = {}

    def run_flow(_load: object, _root: object, _is_done: object, **parameters: Any) -> None:
        found.update(parameters)

    def apply(_recipe: object, wanted: Any, *_: object) -> tuple[()]:
        found.update(runtime=wanted.runtime)
        return ()

    def find_all(_recipe: object, _store: object, runtime: Runtime, *_: object) -> tuple[()]:
        found.update(runtime=runtime)
        return ()

    for module, name, value in (
        (flows.cli.orchestrated, "run_flow", run_flow),
        (flows.cli.summary, "show_summary", lambda *_: None),
        (flows.ready, "check_ready", lambda *_, **__: None),
        (flows.ready, "find_all", find_all),
        (wavlm.pipeline.mirror.sharing, "require_mirror", lambda _: None),  # no network
        (wavlm.specs.yaml, "find_suite", lambda _: None),
        (wavlm.pipeline.request, "set_missing_aside", lambda suite: (suite, [])),
        (wavlm.pipeline.request, "set_absent_aside", lambda suite: (suite, [])),
        (wavlm.pipeline.simulation_request, "write_sources", lambda *_: Path(RECIPE)),
        (wavlm.pipeline.request, "write_request", lambda *_: Path(RECIPE)),
        (tasks.requests, "request_system", lambda *_: Path(RECIPE)),
        (flows.make, "make_share", lambda *args: found.update(runtime=args[2])),
        (flows.deploy.apply, "apply", apply),
        (flows.deploy.apply, "recall_options", lambda _: None),
        (flows.cli.deploy, "_require_server", lambda: None),
    ):
        monkeypatch.setattr(module, name, value)
    before = dict(os.environ)
    yield found
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


def invoke(store: Path, *words: str) -> BaseException | None:
    """Run a command. `stage` ends with an error, because nothing was made."""
    return CliRunner().invoke(app, [*words, "--store", str(store)]).exception


def words_of(name: str) -> list[str]:
    return [name, *WORDS.get(name, [RECIPE])]


def test_the_commands_that_run_stages_are_these() -> None:
    """A new one belongs here, and then to every test below."""
    assert set(RUNNING) == {"run", "stage", "evaluate", "finetune", "simulate", "parts", "refresh", "deploy", "check"}


def test_every_field_has_an_option_or_is_listed() -> None:
    assert {*OPTIONS, *NOWHERE} == set(Runtime.model_fields)
    assert set(runtime_options.OPTIONS) == set(OPTIONS)


@pytest.mark.parametrize("name", RUNNING)
def test_a_command_that_runs_stages_takes_each_option_or_it_is_said_why_not(name: str) -> None:
    taken = {option for parameter in RUNNING[name].params for option in (*parameter.opts, *parameter.secondary_opts)}
    missing = {field for field, (words, _) in OPTIONS.items() if words[0] not in taken}
    assert missing == LEFT_OUT.get(name, {}).keys() - NOWHERE.keys()


@pytest.mark.parametrize("name", RUNNING)
def test_without_options_a_command_runs_as_the_defaults_say(
    name: str, asked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("WAVLM_MIRROR", "WAVLM_CACHE", "WAVLM_CLUSTER"):
        monkeypatch.delenv(variable, raising=False)
    invoke(tmp_path, *words_of(name))
    assert asked["runtime"] == Runtime(**ALWAYS.get(name, {}))


@pytest.mark.parametrize("field", OPTIONS)
def test_an_option_changes_its_field_and_no_other(field: str, asked: dict[str, Any], tmp_path: Path) -> None:
    words, value = OPTIONS[field]
    assert value != Runtime.model_fields[field].default
    invoke(tmp_path, "run", RECIPE, *words)
    assert asked["runtime"] == Runtime(**{field: value, **IMPLIED.get(field, {})})


@pytest.mark.parametrize("name", RUNNING)
def test_all_options_of_a_command_arrive(name: str, asked: dict[str, Any], tmp_path: Path) -> None:
    taken = [field for field in OPTIONS if field not in LEFT_OUT.get(name, {})]
    invoke(tmp_path, *words_of(name), *(word for field in taken for word in OPTIONS[field][0]))
    assert asked["runtime"] == Runtime(**{field: OPTIONS[field][1] for field in taken}, **ALWAYS.get(name, {}))


def test_what_run_and_stage_are_asked_for_arrives(asked: dict[str, Any], tmp_path: Path) -> None:
    invoke(tmp_path, "stage", "corpus", RECIPE, "--corpus", "festvox-ru", "--redo")
    names = ("kind", "recipe", "iteration", "corpus", "redo", "store")
    assert [asked[name] for name in names] == ["corpus", RECIPE, None, "festvox-ru", True, str(tmp_path)]
    invoke(tmp_path, "run", RECIPE, "--until", "labels")
    assert (asked["recipe"], asked["store"], asked["until"]) == (RECIPE, str(tmp_path), "labels")


@pytest.mark.parametrize("launcher", ["", "torchrun"])
@pytest.mark.parametrize("name", ["refresh", "deploy"])
def test_several_nodes_that_nothing_starts_are_refused_where_one_process_runs(
    name: str, launcher: str, asked: dict[str, Any], tmp_path: Path
) -> None:
    refused = invoke(tmp_path, name, RECIPE, "--nodes", "2", "--launcher", launcher)
    assert isinstance(refused, UsageError)
    assert str(refused).startswith("LAUNCHER_MISSING: 2 machines are to train one model")
    assert not asked


@pytest.mark.parametrize("name", RUNNING)
def test_an_address_with_a_password_is_refused_before_it_is_written_anywhere(
    name: str, asked: dict[str, Any], tmp_path: Path
) -> None:
    refused = invoke(tmp_path, *words_of(name), "--mirror", "s3://canary-key:canary-word@bucket/lab")
    assert isinstance(refused, CodedError)
    assert refused.code == "MIRROR_ADDRESS"
    assert "canary-word" not in str(refused)
    assert not asked


def test_paths_of_a_deployment_are_those_of_the_folder_that_it_was_made_in(
    asked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = ["--scratch", "fast", "--cache", "tars", "--cluster", "dask.json"]
    invoke(tmp_path, "deploy", RECIPE, *paths)
    assert asked["runtime"] == Runtime(
        scratch=str(tmp_path / "fast"), cache=str(tmp_path / "tars"), cluster=str(tmp_path / "dask.json")
    )


def test_what_the_mirror_has_need_not_be_made(folder_address: str, tmp_path: Path) -> None:
    recipe, store, runtime = write_project(tmp_path), Store(tmp_path / "store"), Runtime(mirror=folder_address)
    corpus, *others = plan(read_resolved(recipe, store))
    store.make(corpus, lambda out: build(corpus, store, out))
    assert find_lacking([corpus, *others], runtime) == [corpus, *others]
    give(corpus, store, runtime)
    assert find_lacking([corpus, *others], runtime) == others
    assert has_given([corpus], runtime)
    assert not has_given([corpus, *others], runtime)
    assert find_lacking([corpus], Runtime()) == [corpus]
    before = sorted((tmp_path / "store").rglob("*"))
    said = CliRunner().invoke(app, ["check", str(recipe), "--store", str(tmp_path / "new"), "--mirror", folder_address])
    assert said.exit_code == 0, said.output
    assert sorted((tmp_path / "store").rglob("*")) == before
    gone = ["check", str(recipe), "--store", str(tmp_path / "new"), "--mirror", f"file://{tmp_path}/gone"]
    assert "MIRROR_MISSING" in str(CliRunner().invoke(app, gone).exception)
