"""Which commit runs: asked of git, about the clone that this package is in, and about no other."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wavlm.execution import revision

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git on this machine")
ASK = "import sys; sys.path.insert(0, sys.argv[1]); import revision; print(revision.find_revision())"


def git(folder: Path, *arguments: str) -> str:
    own = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", folder, *own, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def ask(folder: Path) -> str:
    """What a copy of the module in this folder answers, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", ASK, folder], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with one commit, which holds the module."""
    git(tmp_path, "init", "-q")
    shutil.copy(str(revision.__file__), tmp_path / "revision.py")
    git(tmp_path, "add", "revision.py")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_a_clone_names_its_commit_and_says_if_it_was_changed(clone: Path) -> None:
    commit = git(clone, "rev-parse", "HEAD")
    git(clone, "tag", "v1")  # the name of a commit may move; its digest does not
    assert ask(clone) == commit
    with (clone / "revision.py").open("a") as file:
        file.write("# changed\n")
    assert ask(clone) == f"{commit}-dirty"


def test_a_copy_inside_the_clone_of_something_else_has_no_commit(clone: Path) -> None:
    inside = clone / ".venv"
    inside.mkdir()
    shutil.copy(clone / "revision.py", inside)
    assert ask(inside) == "None"


def test_without_a_clone_there_is_none(tmp_path: Path) -> None:
    shutil.copy(str(revision.__file__), tmp_path / "revision.py")
    assert ask(tmp_path) == "None"
