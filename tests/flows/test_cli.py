"""The command line: quick answers, clear refusals, exit codes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from flows.cli.main import app
from tests.waiting import LIMIT_SECONDS

Wavlm = Callable[..., "subprocess.CompletedProcess[str]"]
ROOT = Path(__file__).parents[2]


def commands() -> list[list[str]]:
    """Every command, those of groups too, as typed."""

    def below(command: Any, words: list[str]) -> Iterator[list[str]]:
        if words:
            yield words
        for name, inner in getattr(command, "commands", {}).items():
            yield from below(inner, [*words, name])

    return list(below(typer.main.get_command(app), []))


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_has_help_with_an_example(command: list[str]) -> None:
    done = CliRunner().invoke(app, [*command, "--help"])
    assert done.exit_code == 0
    assert f"wavlm {' '.join(command)}" in done.stdout.partition("Example")[2]


def test_plan_answers_without_heavy_imports(tiny_recipe: Path, tmp_path: Path, environment: Mapping[str, str]) -> None:
    script = (
        "import sys; from flows.cli.main import app;"
        f"app(['plan', {str(tiny_recipe)!r}, '--store', {str(tmp_path)!r}], standalone_mode=False);"
        "print(sorted({'prefect', 'torch', 'mlflow', 'faiss'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT, env=dict(environment), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]"
    assert "codebook/mfcc-k8-?" in done.stdout  # nothing was read, so no key is known
    assert "sample: tiny-speech 100.0%" in done.stdout


def test_plan_names_the_field_that_differs(tiny_recipe: Path, tmp_path: Path, wavlm: Wavlm) -> None:
    from tasks.corpus import corpus
    from tasks.shards import shards
    from tests.folders import read_resolved
    from wavlm.execution.runtime import Runtime
    from wavlm.pipeline.plan import plan
    from wavlm.pipeline.selection import select
    from wavlm.pipeline.store import Store

    store = Store(tmp_path / "store")
    artifacts = plan(read_resolved(tiny_recipe, store))
    for kind, task in (("corpus", corpus), ("shards", shards)):
        task.fn(*select(artifacts, kind), store, Runtime(workers=1))  # type: ignore[attr-defined]
    changed = tiny_recipe.with_name(f"{tmp_path.name.replace('_', '-')}.yaml")
    text = tiny_recipe.read_text().replace("max_seconds: 4.0", "max_seconds: 3.0")
    changed.write_text(text.replace("name: tiny\n", f"name: {changed.stem}\n"))
    lines = wavlm("plan", changed, "--store", store.root).stdout.splitlines()
    assert lines[2].split()[0] == "there"
    assert "max_seconds is 4.0 there, 3.0 wanted" in lines[3]


def test_a_bad_recipe_is_refused_with_its_place(tmp_path: Path, wavlm: Wavlm) -> None:
    path = tmp_path / "recipes" / "bad.yaml"
    path.parent.mkdir()
    path.write_text("name: bad\nflavour: vanilla\n")
    done = wavlm("plan", path)
    assert done.returncode == 2
    assert f"; at {path}:2:1, flavour; " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["stage", "tea", "x.yaml"], ["run"], ["brew"], ["plan", "nowhere.yaml"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str], wavlm: Wavlm) -> None:
    assert wavlm(*arguments).returncode == 2


def test_a_corpus_that_does_not_exist_is_refused_with_what_there_is(tiny_recipe: Path, wavlm: Wavlm) -> None:
    done = wavlm("stage", "shards", tiny_recipe, "--corpus", "nowhere")
    assert done.returncode == 2
    assert "shards/tiny-speech-" in done.stderr


def test_status_of_an_empty_store_is_empty(tmp_path: Path, wavlm: Wavlm) -> None:
    done = wavlm("status", "--store", tmp_path / "store")
    assert done.returncode == 0
    assert not (tmp_path / "store").exists()


def test_exporting_an_unknown_name_or_onto_something_is_refused(tmp_path: Path, wavlm: Wavlm) -> None:
    done = wavlm("export", tmp_path, tmp_path, "--store", tmp_path / "store")
    assert done.returncode == 2
    assert "OUT_EXISTS" in done.stderr


@pytest.mark.slow
def test_importing_no_model_or_onto_something_is_refused_without_a_stack(tmp_path: Path, wavlm: Wavlm) -> None:
    path = tmp_path / "model.pt"
    path.write_text("words")
    done = wavlm("import", path, tmp_path / "new")
    assert done.returncode == 65
    assert "MODEL_UNUSABLE: " in done.stderr
    assert str(path) in done.stderr
    assert "Traceback" not in done.stderr
    done = wavlm("import", path, tmp_path)
    assert done.returncode == 2
    assert "OUT_EXISTS" in done.stderr


@pytest.mark.slow
def test_a_missing_input_is_named_and_not_built(tiny_recipe: Path, tmp_path: Path, wavlm: Wavlm) -> None:
    done = wavlm("stage", "shards", tiny_recipe, "--store", tmp_path / "store")
    assert done.returncode == 65
    assert "INPUT_MISSING: corpus/tiny-speech-" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "store" / "corpus").exists()


@pytest.mark.slow
def test_a_registration_that_was_asked_for_and_did_not_happen_is_exit_code_69(
    tiny_recipe: Path, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    from tests.folders import read_resolved
    from tests.tasks.conftest import build
    from wavlm.pipeline.plan import plan
    from wavlm.pipeline.store import Store

    store = Store(tmp_path / "store")
    for artifact in plan(read_resolved(tiny_recipe, store)):
        if artifact.kind != "register":
            store.make(artifact, lambda out, item=artifact: build(item, store, out))
    arguments = ["stage", "register", str(tiny_recipe), "--store", str(store.root)]
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments, "--iteration", "1"],
        cwd=ROOT, env={**environment, "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"},
        capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS,
    )  # fmt: skip
    assert done.returncode == 69, done.stderr
    assert "NOT_REGISTERED" in done.stderr
    assert "wavlm sync" in done.stderr


@pytest.mark.slow
def test_a_configured_server_that_is_down_is_exit_code_69(
    tiny_recipe: Path, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "run", str(tiny_recipe), "--store", str(tmp_path)],
        cwd=ROOT, env={**environment, "PREFECT_API_URL": "http://127.0.0.1:9/api"},
        capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS,
    )  # fmt: skip
    assert done.returncode == 69
    assert "PREFECT_DOWN" in done.stderr
