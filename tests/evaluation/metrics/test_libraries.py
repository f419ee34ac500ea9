"""A scorer that is missing or broken is one line that names the extra and the command."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from wavlm.errors import ServiceMissingError
from wavlm.evaluation.metrics import libraries
from wavlm.evaluation.metrics.libraries import load_scorer, load_world
from wavlm.evaluation.metrics.words import count_edits

COMMAND = r"install the extra `evaluation`: pip install 'wavlm-pipeline\[evaluation\]'"


def test_a_missing_scorer_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jiwer", None)
    with pytest.raises(
        ServiceMissingError, match=rf"PACKAGE_MISSING: the scorer jiwer cannot be imported: .*{COMMAND}"
    ):
        count_edits([["a"]], [["a"]])


def test_a_scorer_that_misses_a_library_of_its_own_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_a_scorer.py").write_text("import a_library_that_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ServiceMissingError, match=r"PACKAGE_MISSING: the scorer half_a_scorer .*a_library_that_nobody_has"
    ):
        load_scorer("half_a_scorer")


def test_pyworld_that_is_not_there_or_was_built_for_another_python_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries, "find_spec", lambda name: None)
    with pytest.raises(ServiceMissingError, match=rf"PACKAGE_MISSING: the scorer pyworld .*not found.*{COMMAND}"):
        load_world()
    monkeypatch.undo()
    (tmp_path / "pyworld").mkdir()
    (tmp_path / "pyworld" / "__init__.py").write_text("import pkg_resources\n")
    (tmp_path / "pyworld" / f"pyworld{libraries.EXTENSION_SUFFIXES[0]}").write_bytes(b"no library")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ServiceMissingError, match=rf"PACKAGE_MISSING: the scorer pyworld cannot be imported: .*{COMMAND}"
    ):
        load_world()
