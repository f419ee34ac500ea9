"""The same command on two "machines" with one store: one leads, the other takes a place in its training."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.waiting import LIMIT_SECONDS
from wavlm.storage.files import read_json

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.full


def test_two_runs_of_one_recipe_train_one_model_together(
    two_ranks: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    options = ("--nodes", 2, "--processes", 1, "--threads", 1, "--address", "127.0.0.1", "--no-tracking")
    command = [sys.executable, "-m", "flows.cli", "run", two_ranks, "--store", store, "--until", "pretrain", *options]
    runs = []
    for number in range(2):
        with (tmp_path / f"log-{number}").open("w") as log:
            runs.append(subprocess.Popen([*map(str, command)], cwd=ROOT, env=dict(environment), stdout=log, stderr=log))
    codes = [process.wait(LIMIT_SECONDS) for process in runs]
    said = [(tmp_path / f"log-{number}").read_text() for number in range(2)]
    assert codes == [0, 0], said
    (training,) = store.glob("pretrain/*/training.json")
    assert read_json(training)["processes"] == 2
    assert sum("trains with the others" in text for text in said) == 1
