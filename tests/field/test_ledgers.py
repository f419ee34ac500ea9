"""Kind: to name or to count something, all of it was read. A plan took a minute with five generations in the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.cli.inventory import list_broken, list_complete
from flows.cli.plan import cost_table, plan_table
from tests.folders import make_both, read_resolved, write_project
from wavlm.corpus import manifest
from wavlm.pipeline import record
from wavlm.pipeline.garbage.find import find_garbage
from wavlm.pipeline.garbage.kept import find_kept
from wavlm.pipeline.plan import plan
from wavlm.pipeline.store import Store
from wavlm.storage import digested, ledger, seals


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with three generations of a corpus and its shards, each with a ledger."""
    monkeypatch.setattr(record, "MOST_LISTED", 1)
    store, recipe = Store(tmp_path / "store"), write_project(tmp_path)
    for low in ("0.2", "0.25", "0.3"):
        edit(recipe, low)
        make_both(read_resolved(recipe, store), store)
    assert len(list(store.root.glob("shards/*/artifact.ledger"))) == 3
    seals.forget()
    return store


def split_otherwise(project: Path) -> None:
    """Another share of speech to hold out: a corpus of another key."""
    spec = project / "specs/corpora/voices.yaml"
    spec.write_text(spec.read_text().replace("valid_fraction: 0.3", "valid_fraction: 0.4"))


def edit(recipe: Path, low: str) -> None:
    """Another length of utterances: shards of other keys."""
    lines = recipe.read_text().splitlines()
    lines = [f"shards: {{min_seconds: {low}, max_seconds: 4.0}}" if "shards:" in line else line for line in lines]
    recipe.write_text("\n".join(lines))


def test_what_only_looks_opens_no_ledger(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tmp_path / "specs/recipes/small.yaml"
    split_otherwise(tmp_path)
    monkeypatch.setattr(ledger.Path, "read_bytes", _refuse(ledger.LEDGER_FILE))
    reasons = [str(cell) for cell in plan_table(recipe, store).columns[2].cells]
    assert any("valid_fraction is 0.3 there, 0.4 wanted" in why for why in reasons)
    cost_table(recipe, store)
    assert [item.folder.rpartition("-")[0] for item in list_complete(store)].count("shards/voices") == 3
    assert not list(list_broken(store))
    find_garbage(store, find_kept(store, [recipe]))


def test_a_record_is_read_once_by_a_command(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tmp_path / "specs/recipes/small.yaml"
    edit(recipe, "0.4")
    monkeypatch.setattr(seals, "SETTLED_NS", 0)  # the files of this test are young
    seals.forget()
    read: list[Path] = []
    parse = digested.read_digested
    monkeypatch.setattr(seals, "read_digested", lambda path: read.append(path) or parse(path))
    plan_table(recipe, store)
    assert read
    assert len(read) == len(set(read))


def test_a_plan_compares_with_artifacts_of_the_same_name_alone(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "specs/recipes/small.yaml"
    edit(recipe, "0.4")
    shards = next(item for item in plan(read_resolved(recipe, store)) if item.kind == "shards")
    other = store.root / "shards" / "noises-0123456789ab"
    other.mkdir()
    (other / "artifact.json").write_text("a record that nobody has to read")
    read: list[Path] = []
    parse = digested.read_digested
    monkeypatch.setattr(seals, "read_digested", lambda path: read.append(path) or parse(path))
    found = store.explain(shards)
    assert found is not None
    assert found[0].name.startswith("voices-")
    assert other / "artifact.json" not in read


def test_a_revision_of_another_share_is_passed_over_without_its_manifest(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    split_otherwise(tmp_path)
    monkeypatch.setattr(manifest, "_open", None)
    plan_table(tmp_path / "specs/recipes/small.yaml", store)


def _refuse(name: str):  # type: ignore[no-untyped-def]
    """`Path.read_bytes` that fails for files of this name."""
    read = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        assert path.name != name, f"{path} was opened"
        return read(path)

    return read_bytes
