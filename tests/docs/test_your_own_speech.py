"""docs/your-own-speech.md: its commands run as they stand there, and what it says is there is there.

On the small speech of the tests always; on the shared corpus, where it is there, in three arrangements.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.waiting import LIMIT_SECONDS
from wavlm.pipeline.plan import plan
from wavlm.specs.tree import RecipeError
from wavlm.specs.yaml import read_recipe

ROOT = Path(__file__).parents[2]
SPEECH = ROOT / "tests" / "data" / "speech"
CORPUS = ROOT.parent / "shared" / "corpus"
GUIDE = (ROOT / "docs" / "your-own-speech.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL) for line in block.splitlines()]
NEEDS_SERVER = "wavlm deploy"
INIT = COMMANDS[0]


class Reader:
    """Somebody who follows the guide in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
        home = {"HOME": str(folder / "home"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self._environment = {**kept, **home, "MLFLOW_DISABLE_TELEMETRY": "true"}
        (folder / "home").mkdir(parents=True)

    def type(self, command: str) -> str:
        """Run a command of the guide and return what it prints; it has to succeed."""
        program, *arguments = shlex.split(command)
        assert program == "wavlm"
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *arguments],
            cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=3 * LIMIT_SECONDS,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """A reader who has typed the first command."""
    reader = Reader(tmp_path_factory.mktemp("reader") / "work")
    shutil.copytree(SPEECH, reader.folder / "my-speech")
    reader.type(INIT)
    return reader


@pytest.mark.slow
def test_the_guide_names_the_files_that_init_writes(reader: Reader) -> None:
    told = set(re.findall(r"^\| `([a-z/-]+\.(?:yaml|png))` \|", GUIDE, re.MULTILINE))
    files = [path for path in reader.folder.rglob("*") if path.suffix in (".yaml", ".png")]
    assert told == {str(path.relative_to(reader.folder)) for path in files}


@pytest.mark.slow
def test_the_guide_names_the_folders_that_the_recipe_makes(reader: Reader) -> None:
    told = set(re.findall(r"`([a-z]+/[a-z0-9-]+)`", GUIDE.partition("followed by")[2].partition("## Every week")[0]))
    assert told == {f"{item.kind}/{item.name}" for item in plan(read_recipe(reader.folder / "my-speech.yaml"))}


def test_the_errors_that_the_guide_lists_are_errors_of_the_code() -> None:
    lines = re.findall(r"^\| (`[A-Z_]+.*?) \|", GUIDE, re.MULTILINE)
    codes = {code for line in lines for code in re.findall("`([A-Z_]+)", line)}
    source = "".join(path.read_text() for path in (ROOT / "wavlm").rglob("*.py"))
    assert len(codes) == 16
    assert not {code for code in codes if f'"{code}",' not in source}


@pytest.mark.slow
def test_a_wrong_field_is_reported_as_the_guide_says(reader: Reader) -> None:
    path = reader.folder / "wrong.yaml"
    path.write_text(re.sub(r"updates: \d+", "updates: many", (reader.folder / "my-speech.yaml").read_text(), count=1))
    with pytest.raises(RecipeError, match=r"^RECIPE: .*wrong\.yaml:\d+:\d+, iterations\.0\.train\.updates; "):
        read_recipe(path)
    path.unlink()


@pytest.mark.full
@pytest.mark.slow
def test_following_the_guide_to_its_end_gives_a_model_and_its_refresh(reader: Reader) -> None:
    shown = {command: reader.type(command) for command in COMMANDS[1:] if not command.startswith(NEEDS_SERVER)}
    assert "nothing is known that would stop a run" in shown["wavlm check my-speech.yaml"]
    assert "my-speech" in shown["wavlm models list"]
    assert {path.name.rpartition("-")[2] for path in (reader.folder / "heard").glob("*.wav")} == {
        "clean.wav", "mixed.wav",
    }  # fmt: skip
    store = reader.folder / "store"
    for pattern in (
        "corpus/my-speech-*/manifest.parquet",
        "shards/my-speech-*/rejects.parquet",
        "mixtures/robust-speech-*/listen/*.wav",
        "pretrain/iteration1-*/model.safetensors",
        "pretrain/iteration1-*/metrics.jsonl",
        "pretrain/iteration1-*/train.log",
        "export/iteration1-*/hf/model.safetensors",
        "export/iteration1-*/fairseq",
        "register/my-speech-iteration1-*/plots/*.png",
        "refreshes/my-weekly/0001.json",
    ):
        assert list(store.glob(pattern)), pattern
    assert len(list(store.glob("shards/my-speech-*"))) == 1  # the weekly recipe reads the same corpus
    assert len(list(store.glob("pretrain/*/model.safetensors"))) == 2


def lay_out_folders(folder: Path, speakers: list[Path]) -> str:
    """A folder per speaker."""
    for speaker in speakers:
        shutil.copytree(speaker, folder / "my-speech" / speaker.name)
    return "my-speech"


def lay_out_kaldi(folder: Path, speakers: list[Path]) -> str:
    """A data directory with segments over one long file per speaker, joined from the utterances."""
    data = folder / "egs" / "data" / "train"
    data.mkdir(parents=True)
    scp, segments, speakers_of = [], [], []
    for speaker in speakers:
        pieces, at = [], 0.0
        for path in sorted(speaker.glob("*.flac")):
            samples, rate = soundfile.read(path, dtype="int16")
            segments.append(f"{path.stem} long-{speaker.name} {at:.4f} {at + len(samples) / rate:.4f}")
            speakers_of.append(f"{path.stem} {speaker.name}")
            pieces += [samples, np.zeros(rate // 2, np.int16)]
            at += len(samples) / rate + 0.5
        soundfile.write(folder / "egs" / f"long-{speaker.name}.wav", np.concatenate(pieces), 16000, subtype="PCM_16")
        scp.append(f"long-{speaker.name} long-{speaker.name}.wav")
    for name, lines in (("wav.scp", scp), ("segments", segments), ("utt2spk", speakers_of)):
        (data / name).write_text("".join(f"{line}\n" for line in lines))
    return "egs/data/train/wav.scp --name my-speech"


def lay_out_table(folder: Path, speakers: list[Path]) -> str:
    """All files in one folder, and a CSV that names their speakers."""
    rows = ["file,speaker"]
    (folder / "flat" / "audio").mkdir(parents=True)
    for speaker in speakers:
        for path in sorted(speaker.glob("*.flac")):
            shutil.copy(path, folder / "flat" / "audio")
            rows.append(f"audio/{path.name},{speaker.name}")
    (folder / "flat" / "list.csv").write_text("".join(f"{row}\n" for row in rows))
    return "flat --name my-speech"


@pytest.mark.slow
@pytest.mark.parametrize("lay_out", [lay_out_folders, lay_out_kaldi, lay_out_table], ids=["folders", "kaldi", "table"])
def test_three_arrangements_of_the_same_speech_are_found_alike(
    lay_out: Callable[[Path, list[Path]], str], tmp_path: Path
) -> None:
    reader = Reader(tmp_path / "work")
    place = lay_out(reader.folder, sorted(SPEECH.iterdir()))
    told = reader.type(f"wavlm init {place} --hours-per-week 0.001")
    assert re.search(r"recordings +12 in", told)
    assert re.search(r"speakers +10\b", told)
    (corpus,) = read_recipe(reader.folder / "my-speech.yaml").speech
    assert corpus.expected_hours == pytest.approx(29.5 / 3600, abs=6e-4)


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared corpus of real speech is not there")
@pytest.mark.parametrize("lay_out", [lay_out_folders, lay_out_kaldi, lay_out_table], ids=["folders", "kaldi", "table"])
def test_the_guide_on_real_speech_in_three_arrangements(
    lay_out: Callable[[Path, list[Path]], str], tmp_path: Path
) -> None:
    reader = Reader(tmp_path / "work")
    speakers = sorted((CORPUS / "speech").iterdir())[:6]
    place = lay_out(reader.folder, speakers)
    told = reader.type(f"wavlm init {place} --hours-per-week 0.002")
    assert re.search(r"speakers +6\b", told)
    reader.type("wavlm check my-speech.yaml")
    reader.type("wavlm run my-speech.yaml")
    assert list((reader.folder / "store").glob("pretrain/*/model.safetensors"))
