"""Every command of README and docs that ends and needs no other machine is run as it is written, one after the other.

The reader's folder holds the project's `data_specs`, in which `demo` is a recipe of the same names on half a minute of
voices, with networks of three layers: what the commands say is what they say of the real one.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.docs.commands import DOCUMENTS, OWN_TESTS, PLACEHOLDERS, ROOT, Shown, blocks_of, lines_of, shown_commands
from tests.flows.conftest import CORPUS, FIRST, HEAD, MIX, PAGE, RATE_HZ, SECOND, voice
from tests.waiting import LIMIT_SECONDS

pytestmark = [pytest.mark.full, pytest.mark.slow]
WITH_PYTHON = (Path("docs/models.md"), Path("docs/try.md"))  # docs/python.md has a test of its own


class Reader:
    """Somebody who types what the documents show, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "home").mkdir(parents=True)
        (folder / "bin").mkdir()
        script = folder / "bin" / "wavlm"
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m flows.cli "$@"\n')
        script.chmod(0o755)
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "WAVLM_"))
        }
        self.environment = {
            **kept, "HOME": str(folder / "home"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true", "PATH": f"{folder / 'bin'}:{kept.get('PATH', '')}",
        }  # fmt: skip

    def type(self, line: str) -> str:
        """Run a line as a shell does; it has to succeed and may show no stack of Python."""
        for name, value in PLACEHOLDERS.items():
            line = re.sub(rf"(?<=\s){name}(?=\s|$)", value, line)
        done = self._run(["sh", "-c", line.removeprefix(".venv/bin/")])
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, line
        return done.stdout

    def run_python(self, code: str) -> None:
        done = self._run([sys.executable, "-c", code])
        assert done.returncode == 0, f"{code}\n{done.stderr}"

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True,
            timeout=3 * LIMIT_SECONDS, check=False,
        )  # fmt: skip


def write_voices(folder: Path) -> None:
    rng = np.random.default_rng(1)
    for speaker, pitch_hz in (("alice", 210.0), ("bob", 110.0), ("carol", 180.0)):
        (folder / speaker).mkdir(parents=True)
        for number in range(4):
            soundfile.write(
                folder / speaker / f"{number}.wav", voice(rng, 1.8 + 0.1 * number, pitch_hz), RATE_HZ, subtype="PCM_16"
            )


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """A reader whose store holds both iterations of the demo."""
    reader = Reader(tmp_path_factory.mktemp("reader") / "project")
    specs = reader.folder / "data_specs"
    shutil.copytree(ROOT / "data_specs", specs)
    write_voices(reader.folder / "audio")
    recipe = f"{HEAD}{FIRST.replace('updates: 40', 'updates: 4')}{SECOND}\n"
    recipe = recipe.replace("name: tiny\n", "name: demo\n", 1).replace("wavlm-tiny", "wavlm-demo")
    corpus = CORPUS.format(page=PAGE, folder=reader.folder / "audio")
    for path, text in (
        ("corpora/tiny-speech.yaml", corpus), ("mixes/tiny-mix.yaml", MIX), ("recipes/demo.yaml", recipe),
    ):  # fmt: skip
        (specs / path).write_text(text)
    (reader.folder / "demo.yaml").write_text("")  # a bare name is a shipped recipe, whatever lies here
    (reader.folder / "demo.yaml").unlink()
    reader.type("wavlm run data_specs/recipes/demo.yaml")
    return reader


def runnable(document: Path) -> list[Shown]:
    return [shown for shown in shown_commands() if shown.document == document and shown.why_not_run is None]


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if path not in OWN_TESTS and runnable(path)], ids=str)
def test_the_commands_of_a_document_succeed_one_after_the_other(document: Path, reader: Reader) -> None:
    for shown in runnable(document):
        reader.type(re.sub(r"(?<=\s)demo(?=\s|$)", "data_specs/recipes/demo.yaml", shown.line))
    if document in WITH_PYTHON:
        for _, code in blocks_of(document, ("python",)):
            reader.run_python(code.replace("/data/store", f"{reader.folder}/store"))


def test_the_page_about_own_speech_is_enough(tmp_path: Path) -> None:
    reader = Reader(tmp_path / "reader")
    shutil.copytree(ROOT / "tests" / "data" / "speech", reader.folder / "my-speech")
    page = Path("docs/own-speech.md")
    for line in [line for language, block in blocks_of(page, ("sh",)) if language for line in lines_of(block)]:
        reader.type(line)
    assert (reader.folder / "my-speech-for-transformers" / "config.json").exists()
