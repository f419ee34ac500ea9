"""`wavlm sync` and `wavlm models list` with a wrong --store: they say so, and make none."""

from __future__ import annotations

from pathlib import Path

import pytest

import tasks.register
from flows.cli.models import list_models, sync
from wavlm.errors import UsageError


def test_sync_makes_no_store(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="STORE_MISSING"):
        sync(Path("demo"), tmp_path / "wrong")
    assert list(tmp_path.iterdir()) == []


def test_sync_of_a_store_without_a_model_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.register, "connect", None)
    sync(Path("demo"), tmp_path)
    assert "no model of this recipe is complete" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_models_of_a_folder_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    list_models(tmp_path / "wrong")
    assert "nothing yet, there is no such folder" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
