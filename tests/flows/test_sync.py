"""`wavlm sync` and `wavlm models list` with a wrong --store say so, and make none; a lost registry is noticed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tasks.register
from flows.cli.main import app
from flows.cli.models import list_models, sync
from tests.tasks.conftest import BuiltStore, built, empty_registry, make_store  # noqa: F401 - fixtures
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


@pytest.mark.slow
@pytest.mark.parametrize("command", [("run",), ("stage", "register")], ids=" ".join)
def test_a_run_of_what_its_registry_lost_does_not_end_with_nothing_to_do(
    command: tuple[str, ...],
    built: BuiltStore,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[object] = []
    tasks.register.sync(built.recipe, built.store)
    recipe = tmp_path / "recipe.yaml"
    recipe.touch()
    for reader in ("wavlm.specs.yaml.read_recipe", "flows.cli.plan.read_recipe"):
        monkeypatch.setattr(reader, lambda _: built.recipe)
    monkeypatch.setattr("flows.ready.check_ready", lambda *_, **__: [])
    monkeypatch.setattr("flows.cli.orchestrated.run_flow", lambda *_, **__: started.append(1))
    monkeypatch.setattr("flows.cli.summary.show_summary", lambda *_: None)

    CliRunner().invoke(app, [*command, str(recipe), "--store", str(built.store.root)])
    assert started == []
    shutil.rmtree(built.store.root / "registry")
    CliRunner().invoke(app, [*command, str(recipe), "--store", str(built.store.root)])
    assert started == [1]
