"""Commands that only look: they create nothing, and `verify` of nothing is an error, not a success."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from flows.cli.store import status
from tests.folders import make_both, read_resolved, write_project
from tests.pipeline.test_store import build, corpus
from wavlm.pipeline.store import Store

ROOT = Path(__file__).parents[2]
Wavlm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["plan", "RECIPE"], 0),
        (["plan", "RECIPE", "--cost"], 0),
        (["check", "RECIPE"], 0),
        (["status"], 0),
        (["verify"], 2),
        (["listen", "RECIPE", "OUT"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_looking_never_creates_a_store(
    command: Sequence[str], code: int, tiny_recipe: Path, tmp_path: Path, wavlm: Wavlm
) -> None:
    words = [{"RECIPE": tiny_recipe, "OUT": tmp_path / "out"}.get(word, word) for word in command]
    done = wavlm(*words, "--store", tmp_path / "deep" / "store")
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("sizes", [False, True])
def test_status_says_that_there_is_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str], *, sizes: bool) -> None:
    status(tmp_path / "stroe", sizes=sizes)
    assert capsys.readouterr().out == f"{tmp_path / 'stroe'}: nothing yet, there is no such folder\n"


def test_verify_names_a_store_that_is_not_there(tmp_path: Path, wavlm: Wavlm) -> None:
    done = wavlm("verify", "--store", tmp_path / "stroe")
    assert done.stderr.startswith(f"STORE_MISSING: there is no store; at {tmp_path / 'stroe'}; ")


def test_verify_of_a_folder_without_artifacts_is_refused(tmp_path: Path, wavlm: Wavlm) -> None:
    done = wavlm("verify", "--store", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("NOTHING_FITS: the store holds no complete artifact; ")


def test_verify_of_a_mistyped_part_is_refused_with_what_was_meant(tmp_path: Path, wavlm: Wavlm) -> None:
    Store(tmp_path).make(corpus(), build)
    assert wavlm("verify", "--store", tmp_path).returncode == 0
    assert wavlm("verify", "--store", tmp_path, "--only", "corpus/").returncode == 0
    done = wavlm("verify", "--store", tmp_path, "--only", "copus/")
    assert done.returncode == 2
    assert "did you mean corpus?" in done.stderr


def test_a_stage_with_nothing_to_do_starts_no_prefect(tmp_path: Path, environment: Mapping[str, str]) -> None:
    recipe, store = write_project(tmp_path / "project"), Store(tmp_path / "store")
    make_both(read_resolved(recipe, store), store)
    script = (
        "import sys; from flows.cli.main import app;"
        f"app(['stage', 'shards', {str(recipe)!r}, '--store', {str(store.root)!r}], standalone_mode=False);"
        "print(sorted({'prefect', 'torch', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT, env=dict(environment), capture_output=True, text=True, check=True,
    )  # fmt: skip
    made, heavy = done.stdout.splitlines()
    assert made.startswith(f"{store.root}/shards/voices-")
    assert heavy == "[]"
    assert not (store.root / "prefect").exists()
