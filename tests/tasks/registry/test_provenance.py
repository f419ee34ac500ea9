"""Whose code made a version: the commit where git or the installation knows it, and nothing that nobody knows."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from tasks.registry import provenance


class Installed:
    """A distribution with some of its files."""

    def __init__(self, files: dict[str, str]) -> None:
        self.read_text = files.get


@pytest.mark.parametrize(
    ("tracked", "changes", "commit"),
    [("__init__.py\n", "", "abc"), ("__init__.py\n", " M file\n", "abc+changes")],
)
def test_the_commit_of_a_checkout_says_if_files_were_changed(
    monkeypatch: pytest.MonkeyPatch, tracked: str, changes: str, commit: str
) -> None:
    def git(folder: Path, *words: str) -> str:
        return {"ls-files": tracked, "rev-parse": "abc\n", "status": changes}[words[0]]

    monkeypatch.setattr(provenance, "_git", git)
    assert provenance.git_commit() == commit
    tags = provenance.run_tags("demo.yaml")
    assert tags["mlflow.source.git.commit"] == commit
    assert (tags["mlflow.source.name"], tags["mlflow.source.type"]) == ("wavlm run demo.yaml", "LOCAL")
    assert tags["mlflow.user"] == provenance.user()
    assert tags["wavlm.version"] == provenance.package_version()


@pytest.mark.parametrize(
    ("files", "commit"),
    [
        ({"direct_url.json": '{"vcs_info": {"commit_id": "def"}, "url": "u"}'}, "def"),
        ({"direct_url.json": '{"url": "u"}'}, ""),
        ({"direct_url.json": "no json"}, ""),
        ({}, ""),
    ],
)
def test_outside_a_checkout_the_installation_says_the_commit(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str], commit: str
) -> None:
    monkeypatch.setattr(provenance, "_git", lambda *_: "")
    monkeypatch.setattr(provenance, "distribution", lambda _: Installed(files))
    assert provenance.git_commit() == commit
    assert ("mlflow.source.git.commit" in provenance.run_tags("demo")) == bool(commit)


def test_a_package_that_is_not_installed_has_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise PackageNotFoundError

    monkeypatch.setattr(provenance, "_git", lambda *_: "")
    monkeypatch.setattr(provenance, "distribution", missing)
    monkeypatch.setattr(provenance, "version", missing)
    assert provenance.git_commit() == provenance.package_version() == ""


def test_git_that_fails_or_is_missing_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert provenance._git(tmp_path, "rev-parse", "HEAD") == ""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance._git(tmp_path, "--version") == ""


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError

    monkeypatch.setattr(provenance.getpass, "getuser", nobody)
    assert provenance.user() == f"uid {os.getuid()}"


def test_a_list_of_names_is_cut_where_it_would_be_refused() -> None:
    assert provenance.joined(["a", "b"]) == "a, b"
    assert provenance.joined(["x" * 4000]) == "x" * 4000
    assert provenance.joined(["x" * 4000, "y"]) == "x" * 4000 + ", ..."
