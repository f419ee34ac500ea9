"""The tables of the command line, cell by cell: what is there, what would be made and why, and what it would cost."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from rich.table import Table

import flows.cli.plan
from flows.cli.inventory import list_complete, list_under_way, size_text, time_text
from flows.cli.plan import cost_table, plan_table
from tests.pipeline.test_artifacts import change_field
from tests.tasks.conftest import build, recipe_of
from wavlm.pipeline.artifacts import Model, Registration
from wavlm.pipeline.cost import cost
from wavlm.pipeline.gpus import GPUS
from wavlm.pipeline.plan import plan
from wavlm.pipeline.selection import select_needed
from wavlm.pipeline.store import Store
from wavlm.specs import FolderSource, Recipe
from wavlm.storage.locks import hold_lock


def rows(table: Table) -> list[tuple[str, ...]]:
    return list(zip(*(map(str, column.cells) for column in table.columns), strict=True))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store in which everything of a recipe is complete but the registrations."""
    made = Store(tmp_path_factory.mktemp("tables") / "store")
    for artifact in plan(recipe_of(None)):
        if not isinstance(artifact, Registration):
            made.make(artifact, lambda out, item=artifact: build(item, made, out))
    return made


@pytest.fixture
def recipe() -> Recipe:
    return recipe_of(None)


def show(recipe: Recipe, store: Store, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[str, str]]:
    """The rows of the plan by artifact: state and reason."""
    monkeypatch.setattr(flows.cli.plan, "read_recipe", lambda _: recipe)
    table = plan_table(Path("a.yaml"), store)
    assert str(table.title) == "a.yaml"
    found = {name: (state, why) for state, name, why in rows(table)}
    assert list(found) == list(dict.fromkeys(map(str, plan(recipe))))
    return found


def test_what_is_there_is_shown_with_its_hours(recipe: Recipe, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    found = show(recipe, store, monkeypatch)
    states = {name: state for name, (state, _) in found.items()}
    assert {state for name, state in states.items() if not name.startswith("register/")} == {"[green]there[/]"}
    assert {state for name, state in states.items() if name.startswith("register/")} == {"[yellow]make[/]"}
    hours = [why for name, (_, why) in found.items() if name.startswith("shards/voice")]
    assert hours == ["1.40 h train, 0.10 h valid"]
    shares = [why for name, (_, why) in found.items() if name.startswith("codebook/")]
    assert all("voice" in why for why in shares)
    assert [why for name, (_, why) in found.items() if name.startswith("register/")] == [
        "new: the store has no register yet"
    ] * 2


def test_what_would_be_made_names_the_field_that_differs_and_what_follows(
    recipe: Recipe, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = change_field(recipe, "iterations.0.train.peak_lr", 2e-3)
    found = show(other, store, monkeypatch)  # type: ignore[arg-type]
    changed = {name.rpartition("-")[0]: why for name, (state, why) in found.items() if state == "[yellow]make[/]"}
    assert changed["pretrain/iteration1"].endswith(": train.peak_lr is 0.001 there, 0.002 wanted")
    assert changed["pretrain/iteration1"].startswith("unlike iteration1-")
    assert "made from other pretrain/iteration1 (to be made)" in changed["codebook/layer2-k50"]
    assert "made from other codebook/layer2-k50 (to be made)" in changed["labels/voice"]
    assert {name.split("/")[0] for name in changed} == {
        "codebook", "labels", "pretrain", "scores", "export", "register",
    }  # fmt: skip


def test_many_differences_are_counted(recipe: Recipe, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    other: Recipe = recipe
    for field, value in (("peak_lr", 2e-3), ("seed", 7), ("clip_norm", 3.0), ("weight_decay", 0.5), ("updates", 77)):
        other = change_field(other, f"iterations.1.train.{field}", value)  # type: ignore[assignment]
    found = show(other, store, monkeypatch)
    (why,) = [why for name, (_, why) in found.items() if name.startswith("pretrain/iteration2")]
    assert why.count(" wanted") == 3
    assert why.endswith("2 more fields differ")


def test_what_was_begun_continues(recipe: Recipe, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    other = change_field(recipe, "iterations.1.train.seed", 9)
    (model,) = [item for item in plan(other) if isinstance(item, Model) and item.iteration == 2]  # type: ignore[arg-type]
    partial = store.partial_folder(model)
    partial.mkdir()
    try:
        found = show(other, store, monkeypatch)  # type: ignore[arg-type]
        assert found[str(model)] == ("[yellow]make[/]", "begun; continues")
    finally:
        partial.rmdir()


def test_a_folder_whose_files_were_not_read_yet_has_no_key(
    recipe: Recipe, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FolderSource(type="folder", path=str(tmp_path / "mine"))
    other = recipe.model_copy(update={"speech": (recipe.speech[0].model_copy(update={"sources": (source,)}),)})
    monkeypatch.setattr(flows.cli.plan, "resolve", lambda given, _: given)
    found = show(other, store, monkeypatch)
    assert found["corpus/voice-?"] == (
        "[yellow]?[/]", f"{tmp_path / 'mine'} is new, has changed or is not there; the run reads it first",
    )  # fmt: skip
    assert found["shards/voice-?"] == ("[yellow]?[/]", "made from what is not known yet")


def test_until_a_kind_is_what_that_kind_needs(recipe: Recipe) -> None:
    assert select_needed(plan(recipe), None) == plan(recipe)
    assert {item.kind for item in select_needed(plan(recipe), "shards")} == {"corpus", "shards"}


def test_the_costs_are_those_of_the_estimate_stage_by_stage(
    recipe: Recipe, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flows.cli.plan, "read_recipe", lambda _: recipe)
    estimate, table = cost(recipe, store), cost_table(Path("a"), store)
    headers = ["iteration", "stage", "core h", "disk GB", "left GB", "peak GB", "V100 h", "A100 h", "H100 h"]
    assert [column.header for column in table.columns] == headers
    assert {column.justify for column in table.columns[2:]} == {"right"}
    assert {column.justify for column in table.columns[:2]} == {"left"}
    *stages, total = rows(table)
    assert [row[:2] for row in stages] == [(str(item.iteration or "all"), item.stage) for item in estimate.stages]
    for row, item in zip(stages, estimate.stages, strict=True):
        assert row[2:5] == (item.core_hours.show(2), item.disk_gigabytes.show(2), item.left_gigabytes.show(2))
        assert row[6:] == tuple(hours.show(1) for gpu in GPUS if (hours := item.gpu_hours(gpu)))
    assert [row[5] for row in stages] == [peak.show(2) for peak in estimate.peaks]
    assert total[:2] == ("", "[bold]all[/]")
    assert total[2] == estimate.core_hours.show(2)
    caption = str(table.caption)
    assert "iteration 1: 0.0 M parameters" in caption
    assert "iteration 2:" in caption
    assert " h of speech" in caption


def test_the_inventory_counts_files_bytes_and_time(store: Store) -> None:
    items = {item.folder: item for item in list_complete(store)}
    kinds = [folder.split("/")[0] for folder in items]
    assert kinds[0] == "corpus"
    assert kinds == sorted(kinds, key=kinds.index)  # one kind after the other
    (mixtures,) = [item for folder, item in items.items() if folder.startswith("mixtures/")]
    assert (mixtures.num_files, mixtures.size) == (1, "8 B")
    assert mixtures.took.endswith(" s")
    assert len(mixtures.made) == len("2024-01-01 00:00")


def test_what_is_under_way_names_its_maker(store: Store) -> None:
    artifact = plan(change_field(recipe_of(None), "iterations.0.codebook.seed", 5))  # type: ignore[arg-type]
    (codebook,) = [item for item in artifact if item.kind == "codebook" and item.name.startswith("mfcc")]
    partial = store.partial_folder(codebook)
    partial.mkdir()
    try:
        assert list(list_under_way(store)) == [f"{codebook.folder}: begun; the next run continues it"]
        with hold_lock(store.root / "locks" / f"codebook-{codebook.key}.lock", "it"):
            (line,) = list_under_way(store)
        assert line.startswith(f"{codebook.folder}: being made by process {os.getpid()} on {socket.gethostname()}")
    finally:
        partial.rmdir()


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_234_000, "1.2 MB"), (5e9, "5.0 GB"), (2.5e12, "2.5 TB"),
     (9e15, "9000.0 TB")],
)  # fmt: skip
def test_sizes_are_in_powers_of_a_thousand(num_bytes: float, text: str) -> None:
    assert size_text(num_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1 min 00 s"), (125.4, "2 min 05 s"), (3599, "59 min 59 s"),
     (3600, "1 h 00 min"), (90_060, "25 h 01 min")],
)  # fmt: skip
def test_durations_are_in_two_units(seconds: float, text: str) -> None:
    assert time_text(seconds) == text


def test_no_row_is_made_for_what_is_not_in_the_store(tmp_path: Path) -> None:
    empty = Store(tmp_path)
    assert list(list_complete(empty)) == list(list_under_way(empty)) == []
