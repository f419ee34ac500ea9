"""Whose code made a version, and who ran it: what MLflow's own client writes down for a script."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

import wavlm

PACKAGE = "wavlm-pipeline"
GIT_SECONDS = 5.0
MAX_TAG_CHARACTERS = 4000  # MLflow refuses a tag of a run above 8,000


def run_tags(recipe: str) -> dict[str, str]:
    """The tags under which MLflow's pages show source, user and commit of a run."""
    tags = {
        "mlflow.user": user(),
        "mlflow.source.name": f"wavlm run {recipe}",
        "mlflow.source.type": "LOCAL",
        "wavlm.version": package_version(),
    }
    if commit := git_commit():
        tags["mlflow.source.git.commit"] = commit
    return tags


def user() -> str:
    """The name of the user, or the number of one without a name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def package_version() -> str:
    """The version of this package; empty if it is not installed."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return ""


def git_commit() -> str:
    """The commit of this code, with `+changes` if files of it were changed since; empty if nobody knows."""
    folder = Path(wavlm.__file__).parent
    # Tracked there: not a package that is installed below somebody's own repository.
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py"):
        commit = _git(folder, "rev-parse", "HEAD").strip()
        return f"{commit}+changes" if _git(folder.parent, "status", "--porcelain", "-uno") else commit
    with suppress(PackageNotFoundError, ValueError, KeyError, TypeError):
        origin = json.loads(distribution(PACKAGE).read_text("direct_url.json") or "{}")
        return str(origin["vcs_info"]["commit_id"])
    return ""


def _git(folder: Path, *arguments: str) -> str:
    """What git says; empty if it fails or is not there."""
    try:
        done = subprocess.run(  # noqa: S603 - our own words, no shell
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's git
            capture_output=True,
            text=True,
            errors="replace",
            timeout=GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def joined(names: list[str]) -> str:
    """Names as one tag; a long list is cut where MLflow would refuse it."""
    text = ", ".join(names)
    return text if len(text) <= MAX_TAG_CHARACTERS else f"{text[:MAX_TAG_CHARACTERS]}, ..."
