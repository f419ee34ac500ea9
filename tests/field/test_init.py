"""`wavlm init`: two commands from a folder of recordings to a model, and clear words about folders that hold none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flows.cli.main import app
from tests.field.speech import SPEECH, speech
from tests.waiting import LIMIT_SECONDS
from wavlm.errors import CodedError
from wavlm.specs.yaml import read_recipe

ROOT = Path(__file__).parents[2]
Init = Callable[..., None]


@pytest.fixture
def init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Init:
    """`wavlm init`, called in a folder of its own. It raises what the command line prints."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def run(*arguments: object) -> None:
        app(["init", *map(str, arguments)], prog_name="wavlm", standalone_mode=False)

    return run


def write_voices(folder: Path, names: tuple[str, ...] = ("anna", "ben", "carla"), count: int = 4) -> Path:
    for who, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            start = (7 * who + number) % 20
            soundfile.write(folder / name / f"{number}.wav", speech(2.0 + number / 4, start), 16000, subtype="PCM_16")
    return folder


def test_init_writes_a_recipe_that_can_be_read_with_a_reason_for_each_number(
    tmp_path: Path, init: Init, capsys: pytest.CaptureFixture[str]
) -> None:
    voices = write_voices(tmp_path / "My Voices!")
    init(voices)
    assert "the first folders: 3 such as anna, ben, carla" in capsys.readouterr().out
    work = tmp_path / "work"
    assert sorted(str(path.relative_to(work)) for path in work.rglob("*.*")) == [
        "corpora/my-voices.yaml", "my-voices.png", "my-voices.yaml",
    ]  # fmt: skip
    recipe = read_recipe(work / "my-voices.yaml")
    (corpus,) = recipe.speech
    assert corpus.folder is not None
    assert Path(corpus.folder.path).resolve() == voices
    assert corpus.expected_hours == pytest.approx(3 * (2 + 2.25 + 2.5 + 2.75) / 3600, abs=1e-3)
    plain = [line for line in (work / "my-voices.yaml").read_text().splitlines() if ": " in line and "#" not in line]
    assert {line.split(":")[0].strip() for line in plain} <= {
        "name", "description", "speech", "features", "valid_every", "log_every",
    }  # fmt: skip
    assert (work / "my-voices.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.full
@pytest.mark.slow
def test_two_commands_lead_from_a_folder_to_a_model(tmp_path: Path) -> None:
    shutil.copytree(SPEECH, tmp_path / "my-speech")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "WAVLM_"))}
    environment = {**kept, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "OMP_NUM_THREADS": "1",
                   "MLFLOW_DISABLE_TELEMETRY": "true"}  # fmt: skip
    for line in ("init my-speech --hours-per-week 0.001", "run my-speech.yaml"):
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *line.split()], cwd=tmp_path, env=environment, capture_output=True,
            text=True, timeout=LIMIT_SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert list((tmp_path / "store" / "pretrain").glob("*/model.safetensors"))


def test_nothing_that_is_there_is_written_over_without_being_told_to(tmp_path: Path, init: Init) -> None:
    voices = write_voices(tmp_path / "voices")
    own = tmp_path / "work" / "voices.yaml"
    own.write_text("my own words")
    with pytest.raises(CodedError, match=r"at voices\.yaml; write over it with --force") as error:
        init(voices)
    assert error.value.code == "OUT_EXISTS"
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["voices.yaml"]
    assert own.read_text() == "my own words"
    init(voices, "--force")
    assert read_recipe(own).name == "voices"


@pytest.mark.parametrize(
    ("files", "code", "message"),
    [
        ({}, "CORPUS_EMPTY", "there is no audio and no manifest, but no files; in "),
        ({"notes.txt": b"hello"}, "CORPUS_EMPTY", "there is no audio and no manifest, but .txt 1; in "),
        ({"a.wav": b"RIFF" + bytes(40), "b.flac": b""}, "CORPUS_EMPTY", "no recording can be read: "),
        (None, "NOT_FOUND", "there is no such file or folder; at "),
    ],
    ids=["empty", "texts", "broken", "missing"],
)
def test_rubbish_is_refused_with_a_code_and_nothing_is_written(
    files: dict[str, bytes] | None, code: str, message: str, tmp_path: Path, init: Init
) -> None:
    for name, content in (files or {}).items():
        (tmp_path / "rubbish").mkdir(exist_ok=True)
        (tmp_path / "rubbish" / name).write_bytes(content)
    if files == {}:
        (tmp_path / "rubbish").mkdir()
    with pytest.raises(CodedError) as error:
        init(tmp_path / "rubbish")
    assert error.value.code == code
    assert error.value.message.startswith(message)
    assert not list((tmp_path / "work").iterdir())


def test_a_recipe_does_not_land_in_the_folder_that_is_read(tmp_path: Path, init: Init) -> None:
    write_voices(tmp_path / "work" / "voices")
    with pytest.raises(CodedError) as error:
        init(".")
    assert error.value.code == "OUT_INSIDE"


def test_what_is_wrong_with_recordings_is_told_and_counted_in(
    tmp_path: Path, init: Init, capsys: pytest.CaptureFixture[str]
) -> None:
    voices = write_voices(tmp_path / "voices")
    (voices / "anna" / "cut.wav").write_bytes((voices / "anna" / "0.wav").read_bytes()[:30])
    soundfile.write(voices / "ben" / "silent.wav", np.zeros(48000), 16000)
    init(voices)
    told = capsys.readouterr().out
    assert "(cut.wav)" in told
    assert "hold no sound: silent.wav" in told
    assert read_recipe(tmp_path / "work" / "voices.yaml").shards.max_rejected > 2 / 14
