"""The command `wavlm` runs with its own `flows` and `tasks`, or says whose it found."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def wavlm(folder: Path, *search: Path) -> subprocess.CompletedProcess[str]:
    """`wavlm --help`, run in a folder, with a search path."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "wavlm.execution.command", "--help"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, search))},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder like site-packages: the three packages and the list of what was installed."""
    site = tmp_path / "site"
    for name in ("wavlm", "tasks", "flows"):
        shutil.copytree(ROOT / name, site / name, ignore=shutil.ignore_patterns("__pycache__"))
    lines = []
    for path in (path for path in site.rglob("*") if path.is_file()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest())
        lines.append(f"{path.relative_to(site)},sha256={digest.rstrip(b'=').decode()},\n")
    info = site / "wavlm_pipeline-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wavlm-pipeline\nVersion: 0.1.0\n")
    (info / "RECORD").write_text("".join(lines))
    return site


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_while_the_command_line_is_being_imported_is_a_stop(tmp_path: Path, number: signal.Signals) -> None:
    """Half a second in which Python would end with a KeyboardInterrupt, or without a word."""
    (tmp_path / "typer.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(1000)\n")
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "wavlm.execution.command", "--help"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "importing\n"
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == 75
    assert said == f"STOPPED: by {number.name}; run the same command again to continue\n"


def refused(done: subprocess.CompletedProcess[str], what: str) -> None:
    assert done.returncode == 69
    assert done.stderr.startswith(f"FOREIGN_PACKAGE: {what}")
    assert len(done.stderr.splitlines()) == 1
    assert not done.stdout


@pytest.mark.slow
def test_files_of_the_same_names_in_the_working_folder_are_left_alone(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("raise RuntimeError('a task runner of somebody else')\n")
    (tmp_path / "flows.py").write_text("raise RuntimeError\n")
    done = wavlm(tmp_path, installed)
    assert done.returncode == 0, done.stderr
    assert "Pre-train WavLM" in done.stdout


@pytest.mark.parametrize("name", ["flows", "tasks"])
def test_a_package_that_is_found_before_ours_is_named(installed: Path, tmp_path: Path, name: str) -> None:
    foreign = tmp_path / "other" / name / "__init__.py"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("")
    done = wavlm(tmp_path, tmp_path / "other", installed)
    refused(done, f"Python finds {name} at {foreign}; expected {installed / name}/__init__.py")


@pytest.mark.parametrize("name", ["flows", "tasks"])
def test_a_package_that_was_installed_over_ours_is_named(installed: Path, name: str) -> None:
    overwritten = installed / name / "__init__.py"
    overwritten.write_text("''' flows namespace '''\n")
    refused(wavlm(installed, installed), f"{overwritten} is not the file that wavlm-pipeline")


def test_a_package_whose_removal_took_our_file_with_it_is_named(installed: Path) -> None:
    (installed / "flows" / "__init__.py").unlink()
    refused(wavlm(installed, installed), "Python finds flows at no file; expected")
