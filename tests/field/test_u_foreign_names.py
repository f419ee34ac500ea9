"""Kind U: other people's models in the same registry.

People reported: on a shared server somebody registered a model called "Anna's model", and `wavlm models list` ended in
REGISTRY_DOWN for everybody.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.cli import registry_tables
from tasks.register import sync
from tasks.registry.connection import connect
from tasks.registry.lookup import list_models, list_versions, promote, pull_model, show_model
from tests.mlflow_server import serve_mlflow
from tests.tasks.conftest import BuiltStore, built, empty_registry, make_store  # noqa: F401 - fixtures
from wavlm.errors import BadDataError, UsageError

pytestmark = [
    pytest.mark.slow,
    # Prefect may be asked to follow our loggers; outside a flow it complains.
    pytest.mark.filterwarnings("ignore:Logger 'tasks:UserWarning"),
]
NAME = "WavLM-tiny"
SOURCE = "s3://theirs/model"
NAMES = (
    "Anna's model",
    'say "hi"',
    "both ' and \"",
    "x AND y; -- comment",
    "100%",
    "back\\slash",
    "a@champion",
    f"{NAME}@champion",
    "[bold red]loud",
    "дом",
    "new\nline",
    "\x1b[31mred",
    " ",
)


@pytest.fixture(params=["file", pytest.param("server", marks=pytest.mark.full)])
def database(
    request: pytest.FixtureRequest,
    built: BuiltStore,  # noqa: F811
    tmp_path: Path,
    empty_registry: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Path]:
    """The database of the registry that is asked: the store's own, or that of a server."""
    if request.param == "file":
        yield built.store.root / "registry" / "mlflow.db"
        return
    with serve_mlflow(tmp_path / "server", empty_registry / "mlflow.db") as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        yield tmp_path / "server" / "mlflow.db"


@pytest.fixture
def shared(built: BuiltStore, database: Path) -> BuiltStore:  # noqa: F811
    """A registry in which others have models with odd names, tags, runs and states."""
    client = connect(built.store).client
    for name in filter(str.strip, NAMES):
        client.create_registered_model(name)
        client.create_model_version(name, SOURCE, tags={"wavlm.iteration": "two", "wavlm.key": "x"})
        client.set_registered_model_alias(name, "champion", "1")
    client.create_registered_model("no versions")
    client.create_registered_model("deleted")
    client.create_model_version("deleted", SOURCE)
    client.delete_model_version("deleted", "1")
    run = client.create_run(client.create_experiment("theirs")).info.run_id
    client.create_registered_model("without its run")
    client.create_model_version("without its run", SOURCE, run)
    with sqlite3.connect(database) as opened:
        opened.execute("DELETE FROM runs WHERE run_uuid = ?", [run])
    return built


def test_models_with_odd_names_disturb_nobody(
    shared: BuiltStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(sync(shared.recipe, shared.store)) == 2
    listed = {model.name: model.versions for model in list_models(shared.store)}
    wanted = {*filter(str.strip, NAMES), NAME, "no versions", "deleted", "without its run"}
    assert listed.keys() == wanted
    for name in filter(str.strip, NAMES):
        assert [item.iteration for item in listed[name]] == [None]
        for reference in (f"{name}:1", f"{name}@champion"):
            assert show_model(shared.store, reference).versions[0].name == name
        if "@" not in name:
            assert show_model(shared.store, name).versions[0].name == name
    # A model of this name is not what everybody means by it.
    assert show_model(shared.store, f"{NAME}@champion").versions[0].name == NAME
    assert show_model(shared.store, "without its run").versions[0].metrics == {}
    assert show_model(shared.store, "deleted").versions == ()
    with pytest.raises(BadDataError, match="VERSION_FOREIGN: Anna's model:1"):
        pull_model(shared.store, "Anna's model", tmp_path / "out")
    with pytest.raises(UsageError, match=r"VERSION_UNKNOWN: no versions has no version"):
        pull_model(shared.store, "no versions", tmp_path / "out")
    with pytest.raises(UsageError, match=r"MODEL_UNKNOWN.*did you mean WavLM-tiny\?.*there is: "):
        pull_model(shared.store, "WavLM-tyni", tmp_path / "out")
    assert promote(shared.store, "Anna's model:1", "best").aliases == ("best", "champion")
    assert [item.version for item in list_versions(shared.store, NAME)] == [1, 2]

    registry_tables.print_versions([version for versions in listed.values() for version in versions])
    registry_tables.print_json([registry_tables.model_of(item) for item in list_models(shared.store)])
    printed = capsys.readouterr().out
    assert "[bold red]loud" in printed
    assert "\x1b" not in printed
    assert "new\\x0aline" in printed


@pytest.mark.full
def test_a_name_that_another_team_uses_too_has_versions_of_both(shared: BuiltStore, tmp_path: Path) -> None:
    client = connect(shared.store).client
    client.create_registered_model(NAME)
    client.create_model_version(NAME, SOURCE)
    client.set_registered_model_alias(NAME, "champion", "1")
    assert len(sync(shared.recipe, shared.store)) == 2
    versions = {item.version: item for item in show_model(shared.store, NAME).versions}
    assert versions[1].key == ""
    assert versions[1].aliases == ("champion",)  # a version without figures cannot be beaten: somebody promotes by hand
    assert "has no valid/loss" in versions[3].tags["wavlm.gate"]
    pulled = pull_model(shared.store, f"{NAME}:3", tmp_path / "pulled")
    weights = shared.store.path(shared.models[1]) / "model.safetensors"
    assert (pulled / "model.safetensors").read_bytes() == weights.read_bytes()
