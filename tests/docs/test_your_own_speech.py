"""docs/your-own-speech.md: its files are valid, its commands run, and what it says is there is there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import LIMIT_SECONDS
from wavlm.pipeline.plan import plan
from wavlm.specs.yaml import RecipeError, read_recipe

ROOT = Path(__file__).parents[2]
SPEECH = ROOT / "tests" / "data" / "speech"
GUIDE = (ROOT / "docs" / "your-own-speech.md").read_text()
FILES = {
    match["path"]: match["text"]
    for match in re.finditer(r"`(?P<path>my-specs/[^`]+)`:\n\n```yaml\n(?P<text>.*?)```", GUIDE, re.DOTALL)
}
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL) for line in block.splitlines()]
RECIPE = "my-specs/recipes/my-model.yaml"


class Reader:
    """Somebody who follows the guide in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(SPEECH, folder / "my-speech")
        for name, text in FILES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
        home = {"HOME": str(folder / "home"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self._environment = {**kept, **home, "MLFLOW_DISABLE_TELEMETRY": "true"}
        (folder / "home").mkdir()

    def type(self, command: str) -> str:
        """Run a command of the guide and return what it prints; it has to succeed."""
        program, *arguments = shlex.split(command)
        assert program == "wavlm"
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *arguments],
            cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return Reader(tmp_path_factory.mktemp("reader"))


def test_the_guide_shows_a_corpus_a_mix_and_a_recipe(reader: Reader) -> None:
    assert sorted(FILES) == ["my-specs/corpora/my-speech.yaml", "my-specs/mixes/my-mix.yaml", RECIPE]
    assert read_recipe(reader.folder / RECIPE).speech[0].layout.type == "generic"


def test_the_guide_names_the_folders_that_the_recipe_makes(reader: Reader) -> None:
    told = set(re.findall(r"`([a-z]+/[a-z0-9-]+)`", GUIDE.partition("## What is written")[2]))
    assert told == {f"{item.kind}/{item.name}" for item in plan(read_recipe(reader.folder / RECIPE))}


def test_the_errors_that_the_guide_lists_are_errors_of_the_code() -> None:
    codes = set(re.findall(r"^\| `([A-Z_]+)", GUIDE, re.MULTILINE))
    source = "".join(path.read_text() for path in (ROOT / "wavlm").rglob("*.py"))
    assert len(codes) == 12
    assert not {code for code in codes if f'"{code}",' not in source}


def test_a_wrong_field_is_reported_as_the_guide_says(reader: Reader, tmp_path: Path) -> None:
    shutil.copytree(reader.folder / "my-specs", tmp_path / "my-specs")
    path = tmp_path / RECIPE
    path.write_text(path.read_text().replace("updates: 40", "updates: many"))
    with pytest.raises(RecipeError, match=r"^RECIPE: .*my-model\.yaml:\d+:\d+, iterations\.0\.train\.updates; "):
        read_recipe(path)


@pytest.mark.slow
def test_following_the_guide_gives_the_labels(reader: Reader) -> None:
    planned, run, status = (reader.type(command) for command in COMMANDS[:3])
    assert "pretrain/iteration1" in planned
    assert re.search(
        r"my-speech +speech +0\.01 +0\.00 +12 +10 +0", run
    )  # hours of train and valid, utterances, speakers, rejected
    assert "labels/my-speech" in status
    assert "pretrain" not in status


@pytest.mark.slow
@pytest.mark.full
def test_following_the_guide_to_its_end_gives_a_model(reader: Reader) -> None:
    for command in COMMANDS[:2]:  # nothing is left to do if the test above has run
        reader.type(command)
    reader.type(COMMANDS[3])
    reader.type(COMMANDS[4])
    pairs = sorted(path.name for path in (reader.folder / "heard").glob("*.wav"))
    assert pairs
    assert {name.rpartition("-")[2] for name in pairs} == {"clean.wav", "mixed.wav"}
    summary = reader.type(COMMANDS[5])
    assert "the first champion" in summary
    store = reader.folder / "my-store"
    for pattern in (
        "corpus/my-speech-*/manifest.parquet",
        "shards/my-speech-*/rejects.parquet",
        "mixtures/my-mix-*/listen/*.wav",
        "pretrain/iteration1-*/model.safetensors",
        "pretrain/iteration1-*/metrics.jsonl",
        "pretrain/iteration1-*/train.log",
        "export/iteration1-*/hf/model.safetensors",
        "export/iteration1-*/fairseq",
        "register/my-model-iteration1-*/plots/*.png",
    ):
        assert list(store.glob(pattern)), pattern
