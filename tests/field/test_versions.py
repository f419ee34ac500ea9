"""Models of a recipe that are versions of a registry: an alias is asked for once, and what it meant then stays.

A recipe that continues `champion` would else start from its own product when it is run again after a stop.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.cli.plan import describe, plan_table
from flows.make import read_resolved
from tasks.model import build_imported
from tasks.register import register_model
from tasks.registry import lookup
from tasks.registry.connection import connect
from tasks.registry.lookup import promote
from tasks.versions import resolve_versions
from tests.field.recipes import write_recipe
from tests.mlflow_server import serve_mlflow
from tests.tasks.conftest import BuiltStore, build, empty_registry, make_store, recipe_of  # noqa: F401 - fixtures
from wavlm.errors import CodedError
from wavlm.execution.progress import no_progress
from wavlm.execution.runtime import Runtime
from wavlm.export.facts import ModelFacts
from wavlm.nn.description import WEIGHTS_FILE
from wavlm.pipeline.artifacts import ImportedModel, Model, Registration
from wavlm.pipeline.cards import card_of, origins_of
from wavlm.pipeline.check import find
from wavlm.pipeline.plan import plan
from wavlm.pipeline.refreshes import read_refresh
from wavlm.pipeline.resolve import read_folders, resolve
from wavlm.pipeline.resolve_models import unknown_models
from wavlm.pipeline.store import Store
from wavlm.specs import GateSpec, ModelSpec, ModelVersion, Recipe, StartSpec
from wavlm.storage.files import sha256_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Logger 'tasks:UserWarning"),
]
NAME = "WavLM-tiny"
HIDDEN = "{type: hidden, model: base, layer: 1}"
GATE = GateSpec(metric="valid/loss", higher_is_better=False)


def continuing(recipe: Recipe, **version: str) -> Recipe:
    """A recipe that starts from a version of the registry."""
    source = ModelVersion.model_validate({"type": "registry", "model": NAME, **version})
    first = recipe.iterations[0].model_copy(update={"start": StartSpec(model="base")})
    changes = {"name": "weekly", "models": {"base": ModelSpec(source=source)}, "iterations": (first,)}
    return recipe.model_copy(update={**changes, "probe": None, "mixtures": None})


def imported_of(recipe: Recipe, store: Store) -> ImportedModel:
    return next(item for item in plan(resolve(recipe, store)) if isinstance(item, ImportedModel))


def make(recipe: Recipe, store: Store) -> ImportedModel:
    artifact = imported_of(recipe, store)
    store.make(artifact, lambda out: build_imported(artifact, store, out, no_progress))
    return artifact


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, empty_registry: Path) -> Path:  # noqa: F811
    """A store with two versions in its own registry, of which the first is `chosen`."""
    store, recipe = Store(tmp_path_factory.mktemp("made") / "store"), recipe_of(GATE)
    for artifact in plan(recipe):
        if not isinstance(artifact, Registration):
            store.make(artifact, lambda out, item=artifact: build(item, store, out))
    shutil.copytree(empty_registry, store.root / "registry")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for registration in BuiltStore(store, recipe).registrations:
            register_model(registration, store, recipe)
        promote(store, f"{NAME}:1", "chosen")
    return store.root


@pytest.fixture
def registered(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuiltStore:
    """A copy of it."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(original, tmp_path / "store")
    return BuiltStore(Store(tmp_path / "store"), recipe_of(GATE))


def weights(built_store: BuiltStore, number: int) -> str:
    return sha256_of(built_store.store.path(built_store.models[number - 1]) / WEIGHTS_FILE)


def test_an_alias_is_asked_for_once_although_it_moves(registered: BuiltStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store, recipe = registered.store, continuing(registered.recipe, alias="chosen")
    assert unknown_models(resolve(recipe, store)) == ("base",)
    assert imported_of(recipe, store).folder == "model/base-?"
    refresh = resolve_versions(recipe, store)
    assert (refresh.number, refresh.models["base"].version) == (1, "1")
    assert refresh.models["base"].sha256 == weights(registered, 1)
    key = imported_of(recipe, store).key
    promote(store, f"{NAME}:2", "chosen")
    monkeypatch.setattr(lookup, "find_version", None)  # the registry is not asked again
    assert resolve_versions(recipe, store) == refresh
    assert imported_of(recipe, store).key == key
    assert list(describe(imported_of(recipe, store), store)) == [f"from {NAME}@chosen, version 1"]


def test_another_number_is_asked_anew_and_the_newest_counts(registered: BuiltStore) -> None:
    store, recipe = registered.store, continuing(registered.recipe, alias="chosen")
    resolve_versions(recipe, store)
    first = imported_of(recipe, store).key
    promote(store, f"{NAME}:2", "chosen")
    second = resolve_versions(recipe, store, number=2)
    assert second.models["base"].version == "2"
    assert imported_of(recipe, store).key != first
    found = read_refresh(store.root, "weekly", 1)
    assert found is not None
    assert found.models["base"].version == "1"


def test_a_recipe_that_names_another_version_asks_again(registered: BuiltStore) -> None:
    store = registered.store
    resolve_versions(continuing(registered.recipe, alias="chosen"), store)
    by_number = continuing(registered.recipe, version="2")
    assert unknown_models(resolve(by_number, store)) == ("base",)
    assert resolve_versions(by_number, store).models["base"].version == "2"


def test_an_alias_and_a_number_of_the_same_version_are_the_same_model(registered: BuiltStore) -> None:
    store = registered.store
    keys = set()
    for number, version in enumerate(({"alias": "chosen"}, {"version": "1"}), 1):
        recipe = continuing(registered.recipe, **version)
        resolve_versions(recipe, store, number=number)
        keys.add(imported_of(recipe, store).key)
    assert len(keys) == 1


def test_a_version_becomes_a_model_with_its_weights_its_lineage_and_its_licences(registered: BuiltStore) -> None:
    store, recipe = registered.store, continuing(registered.recipe, version="2")
    resolve_versions(recipe, store)
    artifact = make(recipe, store)
    assert sorted(path.name for path in store.path(artifact).iterdir() if path.suffix != ".tmp") == [
        "artifact.json",
        "lineage.json",
        "model.safetensors",
        "network.json",
        "seal.json",
    ]
    facts = store.facts(artifact, ModelFacts)
    assert facts.sha256 == weights(registered, 2)
    assert facts.registered is not None
    assert (facts.registered.model, facts.registered.version) == (NAME, "2")
    assert facts.registered.key == registered.models[1].key
    assert {(item.name, item.license) for item in facts.origins} == {("voice", "CC0"), ("bangs", "CC0")}
    model = next(item for item in plan(resolve(recipe, store)) if isinstance(item, Model))
    roles = {item.name: item.role for item in origins_of(model, store)}
    assert roles == {"voice": "speech", "bangs": "noise", f"base: {NAME}:2": "model"}
    assert not card_of(model, store).has_start  # what the weights were learnt from is listed


@pytest.mark.parametrize(
    ("version", "code"),
    [({"alias": "nobody"}, "VERSION_UNKNOWN"), ({"version": "9"}, "VERSION_UNKNOWN")],
)
def test_a_version_that_is_not_there_is_an_error_before_any_data_work(
    registered: BuiltStore, version: dict[str, str], code: str
) -> None:
    with pytest.raises(CodedError) as error:
        resolve_versions(continuing(registered.recipe, **version), registered.store)
    assert error.value.code == code
    assert "there is: " in str(error.value)
    assert read_refresh(registered.store.root, "weekly") is None


def test_a_version_that_was_deleted_since_is_an_error_of_its_stage(registered: BuiltStore) -> None:
    store, recipe = registered.store, continuing(registered.recipe, alias="chosen")
    resolve_versions(recipe, store)
    connect(store).client.delete_model_version(NAME, "1")
    with pytest.raises(CodedError, match="VERSION_UNKNOWN"):
        make(recipe, store)


def test_weights_that_are_not_the_pinned_ones_are_refused(registered: BuiltStore) -> None:
    pinned = continuing(registered.recipe, version="1", sha256="0" * 64)
    with pytest.raises(
        CodedError, match=rf"MODEL_CHANGED: {NAME}:1 is version 1 .*the recipe pins version 1, sha256 000"
    ):
        resolve_versions(pinned, registered.store)


def test_a_store_without_a_registry_says_so(tmp_path: Path, registered: BuiltStore) -> None:
    with pytest.raises(CodedError, match="MODEL_UNKNOWN"):
        resolve_versions(continuing(registered.recipe, alias="chosen"), Store(tmp_path / "empty"))


def test_a_check_needs_no_registry_and_says_what_will_be_asked(tmp_path: Path, registered: BuiltStore) -> None:
    recipe, store = continuing(registered.recipe, alias="chosen"), Store(tmp_path / "empty")
    found = [str(item) for item in find(recipe, plan(recipe), store, Runtime())]
    assert any(f"base: {NAME}@chosen, not resolved: the run asks the registry" in item for item in found)
    assert not (tmp_path / "empty").exists()


@pytest.mark.full
def test_a_registry_elsewhere_works_as_well(
    make_store: Callable[..., BuiltStore],  # noqa: F811
    empty_registry: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = make_store(None)
    shutil.rmtree(found.store.root / "registry")
    with serve_mlflow(tmp_path / "server", empty_registry / "mlflow.db") as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        register_model(found.registrations[0], found.store, found.recipe)
        recipe = continuing(found.recipe, version="1")
        assert resolve_versions(recipe, found.store).models["base"].sha256 == weights(found, 1)
        assert found.store.facts(make(recipe, found.store), ModelFacts).sha256 == weights(found, 1)


def test_a_run_asks_once_and_a_plan_never(
    registered: BuiltStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe(
        tmp_path,
        ("iterations:\n", f"models: {{base: {{registry: {NAME}@chosen}}}}\niterations:\n"),
        iterations=(HIDDEN,),
    )
    asked = []

    def ask(spec: Recipe, store: Store, _runtime: Runtime) -> None:
        asked.append(spec.name)
        resolve_versions(spec, store)

    monkeypatch.setattr("flows.make.ask_versions", ask)
    monkeypatch.setattr("flows.make.read_folders", lambda spec, store, _: read_folders(spec, store, stall_seconds=0))
    table = plan_table(recipe, registered.store)
    assert f"{NAME}@chosen, not resolved: the run asks the registry which version that is" in list(
        table.columns[2].cells
    )
    assert not asked
    read_resolved(str(recipe), registered.store, Runtime(), lambda items: [it for it in items if it.kind == "shards"])
    assert not asked  # shards are made of no model
    for _ in range(2):
        resolved = read_resolved(str(recipe), registered.store, Runtime())
        assert all(item.is_known for item in plan(resolved))
    assert asked == ["small"]
    cells = list(plan_table(recipe, registered.store).columns[2].cells)
    assert any(f"from {NAME}@chosen, version 1" in str(cell) for cell in cells)
