"""The guide docs/extend.md: its examples are applied to a copy of the source and run, its places are counted."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from tests.mini_shards import tones, write_shards
from wavlm.corpus.layouts import READERS
from wavlm.pipeline.artifacts import KINDS
from wavlm.specs.layouts import Layout
from wavlm.specs.yaml import read_corpus, read_evaluation

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "extend.md").read_text()
LAYOUT_PLACES, STAGE_PLACES, TASK_PLACES = 3, 8, 4  # of a task: with its evaluation, a file of data_specs
DIFF = re.compile(r"```diff\n(.*?)```", re.DOTALL)
NEW_FILE = re.compile(r"`([\w/]+\.py)`, a new file:\n\n```python\n(.*?)```", re.DOTALL)


def section(title: str) -> str:
    """The part of the guide under a heading."""
    return GUIDE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def places(text: str) -> set[str]:
    """Files that a part of the guide creates or changes."""
    changed = re.findall(r"^\+\+\+ b/(\S+)$", text, re.MULTILINE)
    return {*changed, *(path for path, _ in NEW_FILE.findall(text))}


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source with all examples of the guide applied."""
    tree = tmp_path_factory.mktemp("extended")
    for name in ("wavlm", "tasks", "flows", "data_specs"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tree)
    for diff in DIFF.findall(GUIDE):
        subprocess.run(["git", "apply", "-C1", "-"], cwd=tree, input=diff, text=True, check=True)
    for path, content in NEW_FILE.findall(GUIDE):
        (tree / path).write_text(content)
    return tree


def run(tree: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_corpus_of_the_guide_is_a_valid_file(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", section("A corpus"), re.DOTALL)
    path = tmp_path / "my-speech.yaml"
    path.write_text(text)
    assert read_corpus(path).layout.type == "generic"


def test_the_evaluation_of_the_guide_is_a_valid_file(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", section("An evaluation"), re.DOTALL)
    labelled = (ROOT / "docs" / "labelled-corpora.md").read_text()
    corpus = re.findall(r"```yaml\n(name: my-commands.*?)```", labelled, re.DOTALL)[0]
    for path, content in (("corpora/my-commands.yaml", corpus), ("evaluations/ks-my-commands.yaml", text)):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text(content)
    assert read_evaluation(tmp_path / "evaluations" / "ks-my-commands.yaml").task.type == "ks"


def test_a_layout_takes_three_places() -> None:
    assert len(places(section("A layout"))) == LAYOUT_PLACES


def test_every_layout_has_a_reader() -> None:
    union, _ = get_args(Layout)
    assert set(READERS) == set(get_args(union))


def test_a_stage_takes_eight_places() -> None:
    assert len(places(section("A stage"))) == STAGE_PLACES


def test_a_task_takes_four_places() -> None:
    assert len(places(section("A task"))) == TASK_PLACES - 1


def test_every_stage_has_a_task_and_a_place_in_the_contract() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    (independent,) = [item["modules"] for item in contracts if item["type"] == "independence"]
    assert sorted(independent) == sorted(f"tasks.{kind}" for kind in KINDS)
    assert all((ROOT / "tasks" / f"{kind}.py").is_file() for kind in KINDS)


def test_the_layout_of_the_guide_reads_a_tree(extended: Path, tmp_path: Path) -> None:
    audio = tmp_path / "wav48_silence_trimmed" / "p225"
    audio.mkdir(parents=True)
    for name in ("p225_001_mic1.flac", "p225_001_mic2.flac", "p225_002_mic1.flac"):
        (audio / name).write_bytes(b"")
    (tmp_path / "txt" / "p225").mkdir(parents=True)
    (tmp_path / "txt" / "p225" / "p225_001.txt").write_text("Please call Stella.\n")
    program = (
        "import sys; from pathlib import Path; from wavlm.corpus.layouts import read_layout\n"
        "from wavlm.specs.layouts import VctkLayout\n"
        "layout = VctkLayout(type='vctk')\n"
        "for item in read_layout(layout, Path(sys.argv[1])): print(item.key, item.speaker, item.text)\n"
    )
    assert run(extended, "-c", program, str(tmp_path)).splitlines() == [
        "p225_001_mic1 p225 Please call Stella.",
        "p225_002_mic1 p225 None",
    ]


def test_the_stage_of_the_guide_is_planned_and_runs(extended: Path, tmp_path: Path) -> None:
    recipe = extended / "data_specs" / "recipes" / "demo.yaml"
    recipe.write_text(recipe.read_text() + "\nlengths: {}\n")
    planned = run(extended, "-m", "flows.cli", "plan", str(recipe), "--store", str(tmp_path / "store"))
    assert len(re.findall(r"lengths/[\w-]+-[0-9a-f]{12}", planned)) == 6
    shards = write_shards(tmp_path / "shards", tones(5, seconds=1.5))
    program = (
        "import sys; from pathlib import Path; from wavlm.shards.lengths import build_lengths\n"
        "from wavlm.specs.labelling import LengthsSpec\n"
        "build_lengths(LengthsSpec(), Path(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    run(extended, "-c", program, str(shards), str(tmp_path))
    assert json.loads((tmp_path / "lengths.json").read_text()) == {"bin_seconds": 1.0, "utterances": [0, 5]}


def test_the_task_of_the_guide_is_in_the_table(extended: Path) -> None:
    program = "from flows.make import _TASKS; print(_TASKS['lengths'].name)"
    assert run(extended, "-c", program).strip() == "lengths"


TASK = """
import sys
from pathlib import Path
import numpy as np
from wavlm.evaluation.examples import Example, Take
from wavlm.evaluation.features.cache import Features
from wavlm.evaluation.fit.head import Sets, fit_head, predict
from wavlm.evaluation.tasks.choose import make_task
from wavlm.evaluation.tasks.task import Size
from wavlm.specs.yaml import read_evaluation

class Made(Features):
    def __init__(self, values): self.values = values
    def read(self, key): return self.values[key]
    def count(self, key): return 1

rng = np.random.default_rng(0)
states = {f"e{n}": rng.normal(size=(2, 1, 6)).astype(np.float32) for n in range(90)}
examples = [Example(key, key, "", 16000, Take(0, 0), 3.0 + float(value[1, 0, 2])) for key, value in states.items()]
spec = read_evaluation(Path(sys.argv[1]))
train, dev, test = examples[:60], examples[60:70], examples[70:]
trainee = make_task(spec).begin(train, [*dev, *test])
head = fit_head(trainee, Sets(train, dev, Made(states), Size(2, 6, 320)), spec.fit, 3e-2, 0, Path(sys.argv[2])).head
rated = predict(trainee, head, test, Made(states), "cpu")
for found in (rated, [trainee.mean] * len(test)):
    (figure,) = trainee.score(test, found)
    print(figure.value, figure.interval.low, figure.interval.high)
"""


def test_the_task_of_the_guide_is_chosen_fitted_and_scored(extended: Path, tmp_path: Path) -> None:
    text = (extended / "data_specs" / "evaluations" / "ks-kajongg.yaml").read_text()
    path = extended / "data_specs" / "evaluations" / "mos-kajongg.yaml"
    path.write_text(re.sub(r"task: .*", "task: {type: mos}", text).replace("ks-kajongg", "mos-kajongg"))
    lines = run(extended, "-c", TASK, str(path), str(tmp_path / "fit.safetensors")).splitlines()
    (learned, low, high), (constant, *_) = (tuple(map(float, line.split())) for line in lines)
    assert low < learned < high
    assert learned < constant / 2  # half the error of a head that always says the mean
