"""Kind N: stores that move and registries that change.

People reported: after `mv` of a store its models could not be pulled, and the next registration recreated the old
folder and wrote there; in a copy the next registration wrote into the original; with MLFLOW_TRACKING_URI set to a new
server `wavlm sync` said 0 and the server stayed empty; why a server did not answer was cut off.
"""

from __future__ import annotations

import http.server
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.register import register_model, sync
from tasks.registry.connection import connect
from tasks.registry.current import read_current
from tasks.registry.lookup import find_deleted, list_models, promote, pull_model, show_model
from tasks.registry.lost import take_back_lost
from tests.mlflow_server import serve_mlflow
from tests.tasks.conftest import BuiltStore, build, empty_registry, recipe_of  # noqa: F401 - a fixture
from wavlm.errors import ServiceMissingError
from wavlm.pipeline.artifacts import Registration
from wavlm.pipeline.plan import plan
from wavlm.pipeline.registration import OWN_REGISTRY, RegistrationFacts, place_of
from wavlm.pipeline.store import Store
from wavlm.pipeline.summary import summarise
from wavlm.specs import GateSpec

pytestmark = [
    pytest.mark.slow,
    # Prefect may be asked to follow our loggers; outside a flow it complains.
    pytest.mark.filterwarnings("ignore:Logger 'tasks:UserWarning"),
]
NAME = "WavLM-tiny"
TRACKING = "MLFLOW_TRACKING_URI"
GATE = GateSpec(metric="valid/loss", higher_is_better=False)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, empty_registry: Path) -> Path:  # noqa: F811
    """A store with two models, of which the first is registered in the store's own registry."""
    root = tmp_path_factory.mktemp("made") / "store"
    store, recipe = Store(root), recipe_of(GATE)
    for artifact in plan(recipe):
        if not isinstance(artifact, Registration):
            store.make(artifact, lambda out, item=artifact: build(item, store, out))
    shutil.copytree(empty_registry, root / "registry")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(TRACKING, raising=False)
        register_model(BuiltStore(store, recipe).registrations[0], store, recipe)
    return root


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TRACKING, raising=False)


def copied(original: Path, to: Path) -> BuiltStore:
    shutil.copytree(original, to)
    return BuiltStore(Store(to), recipe_of(GATE))


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def weights(built: BuiltStore, number: int) -> bytes:
    return (built.store.path(built.models[number]) / "model.safetensors").read_bytes()


def test_a_moved_store_works_and_its_old_place_stays_empty(original: Path, tmp_path: Path) -> None:
    first = copied(original, tmp_path / "first")
    assert len(sync(first.recipe, first.store)) == 1  # puts the places right, as in a store that was made there
    shutil.move(tmp_path / "first", tmp_path / "second")
    moved = BuiltStore(Store(tmp_path / "second"), first.recipe)

    pulled = pull_model(moved.store, f"{NAME}:1", tmp_path / "pulled")
    assert (pulled / "model.safetensors").read_bytes() == weights(moved, 0)
    assert moved.store.has_all(plan(moved.recipe))
    assert sync(moved.recipe, moved.store) == ()
    assert not (tmp_path / "first").exists()
    # A fresh process with plain MLflow, by alias.
    code = (
        "import sys, mlflow; mlflow.set_tracking_uri(sys.argv[1]);"
        f"print(mlflow.artifacts.download_artifacts('models:/{NAME}@iteration-2', dst_path=sys.argv[2]))"
    )
    uri = f"sqlite:///{moved.store.root}/registry/mlflow.db"
    (tmp_path / "plain").mkdir()
    subprocess.run([sys.executable, "-c", code, uri, str(tmp_path / "plain")], check=True, capture_output=True)
    assert (tmp_path / "plain" / "native" / "model.safetensors").read_bytes() == weights(moved, 1)
    assert not (tmp_path / "first").exists()


def test_a_copy_registers_in_itself_whatever_its_path(original: Path, tmp_path: Path) -> None:
    name = "with space, ü and 100%25 #1?x=y"
    before = contents(original)
    copy = copied(original, tmp_path / name)
    assert copy.store.is_complete(copy.registrations[0])  # it was copied with its registry
    assert len(sync(copy.recipe, copy.store)) == 1
    for number in (1, 2):
        pulled = pull_model(copy.store, f"{NAME}:{number}", tmp_path / f"pulled{number}")
        assert (pulled / "model.safetensors").read_bytes() == weights(copy, number - 1)
    assert contents(original) == before
    with sqlite3.connect(copy.store.root / OWN_REGISTRY) as opened:
        sources = [source for (source,) in opened.execute("SELECT source FROM model_versions")]
    assert len(sources) == 2
    assert not [source for source in sources if str(original) in source]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "pulled1", "pulled2"])


@pytest.mark.full
def test_a_store_is_one_store_by_a_link_to_it_too(original: Path, tmp_path: Path) -> None:
    built = copied(original, tmp_path / "store")
    (tmp_path / "link").symlink_to("store")
    linked = BuiltStore(Store(tmp_path / "link"), built.recipe)
    assert len(sync(linked.recipe, linked.store)) == 1
    assert sync(built.recipe, built.store) == ()
    for version in show_model(built.store, NAME).versions:
        assert version.source.startswith(f"{(tmp_path / 'store').resolve()}/registry/artifacts/")


@pytest.mark.full
def test_a_server_gets_all_models_once_and_again_if_it_forgot_them(
    original: Path,
    tmp_path: Path,
    empty_registry: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built = copied(original, tmp_path / "store")
    with serve_mlflow(tmp_path / "server", empty_registry / "mlflow.db") as uri:
        monkeypatch.setenv(TRACKING, f"{uri}/")  # a slash at the end is no other registry
        fault = built.store.explain_outdated(built.registrations[0])
        assert fault is not None
        assert OWN_REGISTRY in fault
        assert uri in fault
        assert len(sync(built.recipe, built.store)) == 2
        assert sync(built.recipe, built.store) == ()
        summary = summarise(plan(built.recipe), built.store, read_current)
        assert {item.uri for item in summary.versions} == {uri}
        (model,) = list_models(built.store)
        assert [item.version for item in model.versions] == [2, 1]

        other = BuiltStore(Store(tmp_path / "other"), built.recipe)
        shutil.copytree(original, other.store.root)
        assert len(sync(other.recipe, other.store)) == 2  # registered for this store too, and no version is added
        (model,) = list_models(built.store)
        assert [item.version for item in model.versions] == [2, 1]

        promote(other.store, f"{NAME}:1", "champion")
        versions = summarise(plan(built.recipe), built.store, read_current).versions
        assert [item.aliases for item in versions] == [("champion", "iteration-1"), ("candidate", "iteration-2")]

        connect(built.store).client.delete_registered_model(NAME)
        gone = summarise(plan(built.recipe), built.store, read_current).versions
        assert all("not in the registry any more" in item.champion for item in gone)
        assert len(sync(built.recipe, built.store)) == 2
        assert len(show_model(built.store, NAME).versions) == 2

    monkeypatch.delenv(TRACKING)
    assert len(sync(built.recipe, built.store)) == 2  # its own registry is asked again: one model is new there
    assert len(show_model(built.store, NAME).versions) == 2


@pytest.mark.full
def test_other_weights_of_one_key_never_replace_a_version(original: Path, tmp_path: Path) -> None:
    """Two machines train one recipe to other bits, and register in one place."""
    built = copied(original, tmp_path / "store")
    model = built.models[0]
    before = pull_model(built.store, f"{NAME}:1", tmp_path / "before")
    theirs = BuiltStore(Store(tmp_path / "theirs"), built.recipe)
    import torch

    for artifact in plan(built.recipe):
        if isinstance(artifact, Registration):
            continue

        def make(out: Path, item=artifact):
            facts = build(item, theirs.store, out)
            if item == model:
                from tests.tasks.conftest import WavLM, save_model

                torch.manual_seed(77)
                save_model(WavLM(item.network, num_clusters=50), out)
            return facts

        theirs.store.make(artifact, make)
    shutil.copytree(built.store.root / "registry", theirs.store.root / "registry")
    register_model(theirs.registrations[0], theirs.store, theirs.recipe)

    newest, oldest = show_model(theirs.store, NAME).versions
    assert (oldest.key, newest.key) == (model.key, model.key)
    assert oldest.run_id != newest.run_id
    again = pull_model(theirs.store, f"{NAME}:1", tmp_path / "again")
    assert (again / "model.safetensors").read_bytes() == (before / "model.safetensors").read_bytes()
    other = pull_model(theirs.store, f"{NAME}:2", tmp_path / "other")
    assert (other / "model.safetensors").read_bytes() == weights(theirs, 0)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_dead_server_is_named_with_the_true_cause_and_without_the_password(
    original: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv(TRACKING, f"{scheme}://somebody:s%40cret@127.0.0.1:{port}/path/")
    built = BuiltStore(Store(original), recipe_of(GATE))
    with pytest.raises(ServiceMissingError) as caught:
        sync(built.recipe, built.store)
    assert str(caught.value) == (
        f"REGISTRY_DOWN: MLflow did not do what was asked: Connection refused; at {scheme}://127.0.0.1:{port}/path; "
        "once it answers, `wavlm sync RECIPE` uploads what is missing"
    )
    assert caught.value.exit_code == 69


def test_where_an_earlier_version_registered_is_understood() -> None:
    facts = RegistrationFacts(
        name="m",
        version=1,
        run_id="r",
        uri="sqlite:////old/place/registry/mlflow.db",
        source="/old/place/registry/artifacts/r/artifacts/hf",
        sha256="",
        aliases=(),
        champion="",
    )
    assert place_of(facts) == OWN_REGISTRY
    elsewhere = facts.model_copy(update={"source": "/my/store/registry/artifacts/r/artifacts/hf"})
    assert place_of(elsewhere) == facts.uri
    assert place_of(facts.model_copy(update={"uri": "https://example.org:5000/"})) == "https://example.org:5000"


@pytest.fixture
def old_server() -> Iterator[str]:
    """A server that says at /version what an MLflow before aliases said."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"1.30.1" if self.path == "/version" else b"{}"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_server_that_is_too_old_is_named(original: Path, old_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRACKING, old_server)
    with pytest.raises(ServiceMissingError, match=r"REGISTRY_VERSION: the server is MLflow 1\.30\.1.*this client is 3"):
        list_models(Store(original))


def test_a_database_of_a_newer_mlflow_is_named_and_left_as_it_is(original: Path, tmp_path: Path) -> None:
    built = copied(original, tmp_path / "store")
    database = built.store.root / OWN_REGISTRY
    with sqlite3.connect(database) as opened:
        opened.execute("UPDATE alembic_version SET version_num = 'fedcba987654'")
        opened.execute("DROP TABLE webhooks")  # which MLflow would make again
    before = database.read_bytes()
    for use in (lambda: list_models(built.store), lambda: sync(built.recipe, built.store)):
        with pytest.raises(ServiceMissingError, match=r"REGISTRY_VERSION: a newer version of MLflow wrote .*fedcba98"):
            use()
    assert database.read_bytes() == before


@pytest.mark.full
def test_a_database_of_an_older_mlflow_is_brought_up_to_date_with_a_copy_beside_it(tmp_path: Path) -> None:
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config, create_sqlalchemy_engine
    from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase

    from tasks.registry.database import _scripts

    scripts = _scripts()
    older = scripts.get_revision(scripts.get_current_head()).down_revision
    database = tmp_path / "store" / OWN_REGISTRY
    database.parent.mkdir(parents=True)
    uri = f"sqlite:///{database}"
    engine = create_sqlalchemy_engine(uri)
    InitialBase.metadata.create_all(engine)
    with engine.begin() as connection:
        config = _get_alembic_config(uri)
        config.attributes["connection"] = connection
        command.upgrade(config, older)
    engine.dispose()
    assert list_models(Store(tmp_path / "store")) == ()
    assert database.with_name(f"mlflow.db.{older}").is_file()
    with sqlite3.connect(database) as opened:
        assert opened.execute("SELECT version_num FROM alembic_version").fetchone() == (scripts.get_current_head(),)


def test_only_the_registry_that_made_a_version_can_say_that_it_was_deleted(
    original: Path,
    tmp_path: Path,
    empty_registry: Path,  # noqa: F811
) -> None:
    """House-keeping deleted registered models after the registry's file was lost, or replaced by an empty one."""
    built = copied(original, tmp_path / "store")
    assert len(sync(built.recipe, built.store)) == 1
    facts = [built.store.facts(item, RegistrationFacts) for item in built.registrations]
    assert find_deleted(built.store, facts) == frozenset()
    client, runs = connect(built.store).client, [item.run_id for item in facts]
    client.delete_model_version(NAME, str(facts[1].version))
    assert find_deleted(built.store, facts) == {runs[1]}
    strangers = [item.model_copy(update={"run_id": "0" * 32, "version": 7}) for item in facts]
    assert find_deleted(built.store, strangers) == frozenset()  # of a registry before this one
    client.delete_model_version(NAME, str(facts[0].version))
    assert find_deleted(built.store, facts) == frozenset()
    shutil.rmtree(built.store.root / "registry")
    assert find_deleted(built.store, facts) == frozenset()
    shutil.copytree(empty_registry, built.store.root / "registry")
    assert find_deleted(built.store, facts) == frozenset()


def test_a_run_takes_back_what_its_registry_lost_and_leaves_what_somebody_deleted(
    original: Path,
    tmp_path: Path,
    empty_registry: Path,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`wavlm run` said that all was registered, when the registry at the same place was new and empty."""
    built = copied(original, tmp_path / "store")
    store, artifacts = built.store, plan(built.recipe)
    (first, _) = built.registrations
    assert take_back_lost(artifacts, store) == ()

    connect(store).client.delete_model_version(NAME, "1")
    assert take_back_lost(artifacts, store) == ()
    assert store.is_complete(first)
    assert f"{NAME}:1 was deleted from " in caplog.text
    assert "wavlm sync RECIPE" in caplog.text

    built = copied(original, tmp_path / "anew")  # MLflow's client keeps a file open that is replaced
    store = built.store
    shutil.rmtree(store.root / "registry")
    shutil.copytree(empty_registry, store.root / "registry")
    client = connect(store).client
    client.create_registered_model(NAME)  # in the new one somebody else's model has the number
    client.create_model_version(NAME, "somewhere", tags={"wavlm.key": "0" * 12})
    caplog.clear()
    assert take_back_lost(artifacts, store) == (first,)
    assert (
        f"{NAME}:1 is not in sqlite:///{store.root}/registry/mlflow.db, which was emptied or is a new one"
        in caplog.text
    )
    assert not store.is_complete(first)
    assert len(sync(built.recipe, store)) == 2
    assert take_back_lost(artifacts, store) == ()

    shutil.rmtree(store.root / "registry")
    assert take_back_lost(artifacts, store) == built.registrations


@pytest.mark.full
def test_a_new_server_at_the_same_address_gets_the_models_and_one_that_is_away_changes_nothing(
    original: Path,
    tmp_path: Path,
    empty_registry: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built = copied(original, tmp_path / "store")
    artifacts, schema = plan(built.recipe), empty_registry / "mlflow.db"
    with serve_mlflow(tmp_path / "server", schema) as uri:
        monkeypatch.setenv(TRACKING, uri)
        assert len(sync(built.recipe, built.store)) == 2
        assert take_back_lost(artifacts, built.store) == ()
        connect(built.store).client.delete_registered_model(NAME)
        assert take_back_lost(artifacts, built.store) == ()  # its runs are there: somebody deleted it
    assert take_back_lost(artifacts, built.store) == ()  # nobody answers
    assert built.store.has_all(artifacts)
    with serve_mlflow(tmp_path / "anew", schema, port=int(uri.rpartition(":")[2])):
        assert take_back_lost(artifacts, built.store) == built.registrations
        assert len(sync(built.recipe, built.store)) == 2
        assert take_back_lost(artifacts, built.store) == ()


def test_a_page_that_is_not_found_is_no_word_of_a_registry(
    original: Path, tmp_path: Path, not_found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = copied(original, tmp_path / "store")
    (first, _) = built.registrations
    monkeypatch.setenv(TRACKING, not_found)
    record = built.store.path(first) / "artifact.json"
    monkeypatch.setattr(Store, "is_complete", lambda _, item: item == first)  # as if it was registered there
    assert record.is_file()
    assert read_current(built.store, [NAME]) is None
    assert take_back_lost(plan(built.recipe), built.store) == ()


@pytest.fixture
def not_found() -> Iterator[str]:
    """A server that is no MLflow: a proxy, say, whose own server is away."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"{}"
            self.send_response(404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
