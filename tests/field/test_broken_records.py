"""People reported: one damaged `artifact.json` ended `plan`, `status` and `verify` of a whole store with a traceback.

And a digit that changed in what a stage had reported was used and verified as if nothing had happened. The record
carries its own digest now: a damaged one is named (RECORD_BROKEN), and everything else goes on.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.cli.inventory import list_broken, list_complete
from flows.cli.plan import explain_make
from tasks.exchange import export_as
from tests.tasks.conftest import CORPUS, build, recipe_of
from wavlm.corpus.facts import CorpusFacts
from wavlm.errors import BadDataError
from wavlm.pipeline.artifacts import Artifact, Export, Model, Registration
from wavlm.pipeline.garbage.kept import inputs_of
from wavlm.pipeline.plan import plan
from wavlm.pipeline.store import Store
from wavlm.pipeline.summary import summarise
from wavlm.pipeline.verify import verify
from wavlm.specs import GateSpec
from wavlm.storage.seals import check_sealed

Damage = Callable[[bytes, random.Random], bytes]


def flip(whole: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(8 * len(whole))
    changed = bytearray(whole)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def cut(whole: bytes, rng: random.Random) -> bytes:
    return whole[: rng.randrange(len(whole))]


def zero(whole: bytes, rng: random.Random) -> bytes:
    first = rng.randrange(max(1, len(whole) - 512))
    return whole[:first] + bytes(len(whole[first : first + 512])) + whole[first + 512 :]


@pytest.fixture(scope="module")
def whole_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """All artifacts of a recipe of two iterations but the registrations."""
    store = Store(tmp_path_factory.mktemp("records") / "store")
    for artifact in artifacts():
        store.make(artifact, lambda out, item=artifact: build(item, store, out))  # type: ignore[misc]
    return store


@pytest.fixture
def store(whole_store: Store, tmp_path: Path) -> Store:
    shutil.copytree(whole_store.root, tmp_path / "store")
    return Store(tmp_path / "store")


def artifacts() -> tuple[Artifact, ...]:
    return tuple(item for item in plan(recipe_of(GateSpec())) if not isinstance(item, Registration))


def record_of(store: Store, artifact: Artifact, damage: Damage, seed: int = 0, name: str = "artifact.json") -> Path:
    """Damage a file of an artifact; returns its path."""
    path = store.path(artifact) / name
    path.write_bytes(damage(path.read_bytes(), random.Random(seed)))  # noqa: S311
    return path


@pytest.mark.parametrize("name", ["artifact.json", "seal.json"])
@pytest.mark.parametrize("damage", [flip, cut, zero])
@pytest.mark.parametrize("seed", range(2))
def test_a_damaged_record_is_named_beside_the_healthy_ones(store: Store, damage: Damage, seed: int, name: str) -> None:
    corpus, model = artifacts()[0], next(item for item in artifacts() if isinstance(item, Model))
    path = record_of(store, corpus, damage, seed, name)
    assert len(list(list_complete(store))) == len(artifacts()) - (name == "artifact.json")
    assert not store.is_complete(corpus)
    assert all(store.is_complete(item) for item in artifacts()[1:])  # it hides no other
    assert store.facts(model, type(build(model, store, path.parent)))
    assert [str(path) in line and "RECORD_BROKEN" in line for line in list_broken(store)] == [True]
    assert str(store.find_broken(corpus)).startswith("RECORD_BROKEN: ")
    assert [item.path for item in verify(store.path(corpus))] == [path]
    assert str(corpus) in summarise(artifacts(), store).missing


@pytest.mark.parametrize("damage", [flip, cut, zero])
def test_no_stage_uses_it_and_none_makes_it_again_unasked(store: Store, damage: Damage) -> None:
    corpus, shards = artifacts()[:2]
    path = record_of(store, corpus, damage)
    store.redo(shards)
    for artifact in (corpus, shards):
        with pytest.raises(BadDataError, match=f"RECORD_BROKEN: .*{path}; restore it .*: wavlm stage corpus"):
            store.make(artifact, lambda _: pytest.fail("made from what nobody knows"))
    assert store.redo(corpus)
    store.make(corpus, lambda out: build(corpus, store, out))
    assert store.is_complete(corpus)


def test_a_changed_digit_of_what_a_stage_reported_is_noticed(store: Store) -> None:
    path = store.path(artifacts()[0]) / "artifact.json"
    text = path.read_text()
    hours = f'"hours": {CORPUS.hours}'
    assert hours in text
    path.write_text(text.replace(hours, f'"hours": {CORPUS.hours + 1}'))
    with pytest.raises(BadDataError, match=r"RECORD_BROKEN: .*it was changed"):
        store.facts(artifacts()[0], CorpusFacts)
    assert verify(path.parent)


def test_siblings_with_damaged_records_are_not_compared_with(store: Store) -> None:
    for artifact in artifacts():
        if artifact.kind == "shards":
            record_of(store, artifact, cut)
    shards = next(item for item in artifacts() if item.kind == "shards")
    shutil.rmtree(store.path(shards))
    assert explain_make(shards, store, set()) == "new: the store has no shards yet"


def test_a_damaged_record_of_another_export_stops_no_export(store: Store, tmp_path: Path) -> None:
    first, second = (item for item in artifacts() if isinstance(item, Export))
    record_of(store, first, cut)
    export_as(str(store.path(second.model)), "hf", tmp_path / "out", store)
    assert (tmp_path / "out/README.md").is_file()  # of the store's own export


def test_a_lost_seal_is_a_broken_record_and_makes_nothing_again(store: Store) -> None:
    """People reported: without `seal.json` all that was made from a corpus was made again, and `verify` saw nothing."""
    corpus = artifacts()[0]
    seal = store.path(corpus) / "seal.json"
    seal.unlink()
    assert str(store.find_broken(corpus)).startswith("RECORD_BROKEN: seal.json cannot be used: the file is missing")
    assert [item.path for item in verify(store.path(corpus))] == [seal]
    assert [str(seal) in line for line in list_broken(store)] == [True]
    assert not store.is_complete(corpus)
    assert all(store.is_complete(item) for item in artifacts()[1:])
    with pytest.raises(BadDataError, match=f"RECORD_BROKEN: .*{seal}; restore it"):
        store.make(corpus, lambda _: pytest.fail("made again unasked"))


def test_without_a_seal_nobody_says_that_an_artifact_was_made_from_nothing(store: Store) -> None:
    shards = next(item for item in artifacts() if item.kind == "shards")
    (store.path(shards) / "seal.json").unlink()
    with pytest.raises(BadDataError, match="RECORD_BROKEN"):
        inputs_of(store.path(shards))


def test_a_lost_seal_switches_no_check_off(store: Store) -> None:
    for name in ("hf/config.json", "hf/model.safetensors"):
        export = next(item for item in artifacts() if isinstance(item, Export))
        path = store.path(export) / name
        path.write_bytes(flip(path.read_bytes(), random.Random(0)))  # noqa: S311
        (store.path(export) / "seal.json").unlink(missing_ok=True)
        with pytest.raises(BadDataError, match=f"CHECKSUM: .*{path}"):
            check_sealed(path)


def test_a_record_of_an_earlier_version_needs_no_seal(store: Store) -> None:
    corpus = artifacts()[0]
    folder = store.path(corpus)
    record = json.loads((folder / "artifact.json").read_text())
    del record["digest"]
    (folder / "artifact.json").write_text(json.dumps(record))
    (folder / "seal.json").unlink()
    assert store.find_broken(corpus) is None
    assert verify(folder) == []
    assert store.is_complete(corpus)
