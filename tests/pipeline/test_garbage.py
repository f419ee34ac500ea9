"""House-keeping: nobody loses what somebody wants, and what is deleted on purpose is not taken for damage.

The store is real: an archive, its corpus and its shards are made by the stages; what is made from them is small.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.folders import CORPUS, RECIPE, add_speakers
from tests.tasks.conftest import build
from wavlm.corpus.archives import AUDIO
from wavlm.corpus.build import build_corpus
from wavlm.errors import UsageError
from wavlm.execution.progress import no_progress
from wavlm.pipeline.artifacts import Artifact, Corpus, Model, Shards
from wavlm.pipeline.garbage import delete, kept
from wavlm.pipeline.garbage.delete import delete_item
from wavlm.pipeline.garbage.find import find_garbage
from wavlm.pipeline.garbage.kept import Kept, find_kept
from wavlm.pipeline.garbage.notes import RECIPES, find_notes, forget, remember
from wavlm.pipeline.garbage.survey import Item
from wavlm.pipeline.garbage.thinned import find_thinned
from wavlm.pipeline.plan import plan
from wavlm.pipeline.registration import OWN_REGISTRY, RegistrationFacts
from wavlm.pipeline.resolve import resolve
from wavlm.pipeline.store import Store
from wavlm.pipeline.verify import verify
from wavlm.shards import build_shards
from wavlm.shards.recordings import Intake
from wavlm.specs.yaml import read_recipe
from wavlm.storage.facts import Facts
from wavlm.storage.locks import hold_lock
from wavlm.storage.use_locks import hold_in_use

SOURCE = '{type: https, urls: ["https://example.org/voices.tar.gz"], sha256: %s, format: tar.gz}'


class Project:
    """A recipe, its archive, and a store in which all of it was made."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store")
        self.recipe = folder / "specs" / "recipes" / "small.yaml"
        add_speakers(folder / "tree", ("ann", "bob", "cid"))
        self.store.downloads.mkdir(parents=True)
        archive = folder / "voices.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(folder / "tree", ".")
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        self.archive = archive.rename(self.store.downloads / f"{digest}.tar.gz")
        for path, text in ((folder / "specs/corpora/voices.yaml", CORPUS % (SOURCE % digest)), (self.recipe, RECIPE)):
            path.parent.mkdir(parents=True)
            path.write_text(text)
        self.make()

    def copy_to(self, folder: Path) -> Project:
        shutil.copytree(self.store.root.parent, folder, symlinks=True)
        moved = copy.copy(self)
        moved.store, moved.recipe = Store(folder / "store"), folder / "specs" / "recipes" / "small.yaml"
        moved.archive = moved.store.downloads / self.archive.name
        shutil.rmtree(moved.store.root / RECIPES)
        moved.note()
        return moved

    def note(self) -> None:
        """What a run does first: what earlier runs of the file wanted no longer counts."""
        remember(self.recipe, self.store, self.plan())

    def plan(self) -> tuple[Artifact, ...]:
        return plan(resolve(read_recipe(self.recipe), self.store))

    def make(self) -> None:
        """What a run does, with small files where a stage would take long."""
        self.note()
        for artifact in self.plan():
            for again in find_thinned([artifact] if not self.store.is_complete(artifact) else [], self.store):
                self.store.redo(again)
                self._make(again)
            self._make(artifact)

    def _make(self, artifact: Artifact) -> None:
        self.store.make(artifact, lambda out: self._build(artifact, out))

    def _build(self, artifact: Artifact, out: Path) -> Facts:
        if isinstance(artifact, Corpus):
            return build_corpus(artifact.spec, self.store.downloads, out, no_progress, None, 0)
        if isinstance(artifact, Shards):
            source = self.store.path(artifact.corpus)
            return build_shards(artifact.spec, source, out, 1, no_progress, Intake(stall_seconds=0))
        if isinstance(artifact, Model):
            (out / "snapshots" / "step-000000030").mkdir(parents=True)
            (out / "snapshots" / "step-000000030" / "optimizer.safetensors").write_bytes(b"moments")
        if artifact.kind == "register":
            return RegistrationFacts(
                name="small", version=1, run_id="r", uri=OWN_REGISTRY, source="s", sha256="0", aliases=(), champion=""
            )
        return build(artifact, self.store, out)

    def change(self, old: str, new: str) -> None:
        """Edit the recipe, and begin a run."""
        self.edit(old, new)
        self.note()

    def edit(self, old: str, new: str) -> None:
        text = self.recipe.read_text()
        assert old in text
        self.recipe.write_text(text.replace(old, new))

    def kept(self) -> Kept:
        return find_kept(self.store, (), lambda _: False)

    def find(self, *named: Path, registered: bool = True) -> tuple[list[Item], list[str]]:
        return find_garbage(self.store, find_kept(self.store, named, lambda _: registered))

    def collect(self, *, registered: bool = True) -> list[str]:
        """Delete everything that is found; returns what it was."""
        kept = find_kept(self.store, (), lambda _: registered)
        items, _ = find_garbage(self.store, kept)
        assert [delete_item(item, self.store, kept) for item in items] == [None] * len(items)
        return [f"{item.what}: {item.path.relative_to(self.store.root)}" for item in items]

    def first(self, kind: str) -> Artifact:
        return next(item for item in self.plan() if item.kind == kind)

    def folder(self, kind: str) -> Path:
        return self.store.path(self.first(kind))

    def check(self) -> None:
        """Everything of the recipe is complete and whole."""
        assert self.store.has_all(self.plan())
        assert [damage for folder in self.store.folders() for damage in verify(folder)] == []


@pytest.fixture(autouse=True)
def _few_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shipped recipes take seconds to read; one test reads them."""
    monkeypatch.setattr(kept, "names_in", lambda _: [])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def project(made: Project, tmp_path: Path) -> Project:
    """A copy of the project, with a store that knows its recipe."""
    return made.copy_to(tmp_path / "project")


def kinds(items: list[Item]) -> set[str]:
    return {str(item.what) for item in items}


def tree(root: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in root.rglob("*")}


def test_finding_changes_nothing_and_a_second_round_finds_nothing(project: Project) -> None:
    before = tree(project.store.root)
    items, _ = project.find()
    assert tree(project.store.root) == before
    assert kinds(items) == {"snapshots"}
    project.collect()
    assert project.find()[0] == []
    project.check()


def test_a_model_without_its_snapshots_is_whole_and_other_damage_is_still_found(project: Project) -> None:
    assert project.collect() == [f"snapshots: {project.folder('pretrain').relative_to(project.store.root)}/snapshots"]
    assert not (project.folder("pretrain") / "snapshots").exists()
    project.check()
    weights = project.folder("pretrain") / "model.safetensors"
    weights.unlink()
    assert [damage.path for damage in verify(project.folder("pretrain"))] == [weights]


def test_features_go_once_no_evaluation_reads_them(project: Project) -> None:
    features, begun = project.store.root / "features", project.store.root / "evaluation/.one-0123456789ab.partial"
    begun.mkdir(parents=True)
    features.mkdir()
    (features / "abc.npy").write_bytes(b"frames")
    (item,) = [item for item in project.find()[0] if item.what == "features"]
    with hold_lock(project.store.root / "locks/evaluation-0123456789ab.lock", "one"):
        items, remarks = project.find()
        assert "features" not in kinds(items)
        assert any("features stays" in remark for remark in remarks)
        assert delete_item(item, project.store, project.kept()) is not None  # it was found before that began
        assert features.is_dir()
    assert f"features: {features.name}" in project.collect()
    assert not features.exists()


def test_a_note_of_dropped_files_that_was_changed_excuses_nothing(project: Project) -> None:
    project.collect()
    note = project.folder("pretrain") / "dropped.json"
    note.write_text(note.read_text().replace("optimizer", "model"))
    assert [damage.path for damage in verify(project.folder("pretrain"))] == [note]


def test_a_file_of_the_same_folder_that_was_not_dropped_is_missing(project: Project) -> None:
    project.collect()
    (project.folder("pretrain") / "snapshots").mkdir()
    (project.folder("pretrain") / "snapshots" / "new").write_text("never sealed")
    assert [damage.found for damage in verify(project.folder("pretrain"))] == ["a file that was never sealed"]


def test_audio_and_archives_stay_unless_the_recipe_allows_it(project: Project) -> None:
    assert not kinds(project.find()[0]) & {"audio", "archives"}
    project.change("iterations:", "keep: {archives: false, audio: false}\niterations:")
    assert {"audio", "archives"} <= kinds(project.find()[0])


def test_audio_goes_only_when_the_shards_are_complete(project: Project) -> None:
    project.change("iterations:", "keep: {audio: false}\niterations:")
    project.change("max_seconds: 4.0", "max_seconds: 3.0")  # other shards, which are not made yet
    assert "audio" not in kinds(project.find()[0])


def test_one_recipe_that_keeps_audio_keeps_it_for_all(project: Project) -> None:
    other = project.recipe.with_name("other.yaml")
    other.write_text(project.recipe.read_text().replace("name: small", "name: other", 1))
    project.change("iterations:", "keep: {audio: false, archives: false}\niterations:")
    assert not kinds(project.find(other)[0]) & {"audio", "archives"}


def test_a_corpus_without_audio_is_complete_until_shards_are_made_from_it(project: Project) -> None:
    project.change("iterations:", "keep: {audio: false}\niterations:")
    project.collect()
    corpus, shards = project.folder("corpus"), project.folder("shards")
    assert not (corpus / AUDIO).exists()
    project.check()
    project.make()
    assert not (corpus / AUDIO).exists()  # nothing was made again
    project.change("max_seconds: 4.0", "max_seconds: 3.0")
    project.make()
    assert (corpus / AUDIO).exists()
    assert shards.exists()
    project.check()


def test_trash_goes_and_links_in_it_lead_nowhere(project: Project, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    moved = project.store.redo(project.first("labels"))
    assert moved
    (moved / "link").symlink_to(outside)
    (moved / "closed").mkdir(mode=0o500)
    (moved / "closed" / "file").parent.chmod(0o700)
    (moved / "closed" / "file").write_text("x")
    (moved / "closed").chmod(0o500)
    assert moved not in [item.path for item in project.find()[0]]  # nothing else holds what the recipe wants
    project.make()
    assert f"trash: {moved.relative_to(project.store.root)}" in project.collect()
    assert not moved.exists()
    assert (outside / "precious").read_text() == "mine"


@pytest.mark.parametrize("kind", ["trash", "labels", "pretrain"])
def test_what_a_link_leads_to_is_not_touched(kind: str, project: Project, tmp_path: Path) -> None:
    """A folder of the store on another disk, behind a link."""
    project.store.redo(project.first("export"))
    project.change("num_clusters: 8", "num_clusters: 9")
    place, elsewhere = project.store.root / kind, tmp_path / "elsewhere"
    place.rename(elsewhere)
    place.symlink_to(elsewhere)
    before = tree(elsewhere)
    items, remarks = project.find(registered=False)
    assert not [item for item in items if item.path.is_relative_to(place)]
    assert any(line.startswith(f"{kind}/") and "link" in line for line in remarks)
    assert tree(elsewhere) == before


def test_a_store_behind_a_link_is_a_store(project: Project, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(project.store.root)
    project.store = Store(tmp_path / "link")
    assert kinds(project.find()[0]) == {"snapshots"}


def test_a_changed_recipe_leaves_a_generation_that_goes_once_nothing_is_registered_of_it(project: Project) -> None:
    old = {
        kind: project.folder(kind) for kind in ("corpus", "shards", "labels", "pretrain", "scores") if kind != "scores"
    }
    project.change("num_clusters: 8", "num_clusters: 9")
    assert "generations" not in kinds(project.find()[0])  # the registry has a version of it
    assert "generations" in kinds(project.find(registered=False)[0])
    project.make()
    project.collect(registered=False)
    assert old["corpus"].exists()
    assert old["shards"].exists()
    assert not old["labels"].exists()
    assert not old["pretrain"].exists()
    project.check()


def test_the_last_revision_of_a_corpus_stays_until_the_next_is_made(project: Project) -> None:
    """It decides what the next one holds out (decision 22). Without it held-out speech would be trained on."""
    old = project.folder("corpus")
    spec = project.recipe.parents[1] / "corpora" / "voices.yaml"
    spec.write_text(spec.read_text().replace("role: speech", "role: speech\nmax_left_out: 0.5\nchannels: each"))
    project.collect(registered=False)
    assert old.exists()
    project.make()
    project.collect(registered=False)
    assert not old.exists()
    project.check()


@pytest.mark.parametrize("how", ["renamed", "folder gone"])
def test_a_recipe_whose_file_cannot_be_seen_is_kept_until_it_is_forgotten(how: str, project: Project) -> None:
    """In a container, on another machine of the group, in a home that is closed: it is needed all the same."""
    noted = str(project.recipe.resolve())
    extra = {"downloads": project.archive, "corpus": project.folder("corpus") / AUDIO}
    if how == "renamed":
        project.recipe.rename(project.recipe.with_name("elsewhere.yaml"))
    else:
        shutil.rmtree(project.recipe.parents[1])
    items, remarks = project.find(registered=False)
    assert kinds(items) == {"snapshots"}
    assert any(noted in line and "--forget" in line for line in remarks)
    assert all(path.exists() for path in extra.values())
    (note,) = find_notes(project.store, [Path(noted)])
    without = find_kept(project.store, (), lambda _: False, [note.path])
    assert {"generations", "archives"} <= kinds(find_garbage(project.store, without)[0])
    forget(note, project.store)
    assert "generations" in kinds(project.find(registered=False)[0])
    with pytest.raises(UsageError, match="NOTHING_FITS"):
        find_notes(project.store, [Path(noted)])


def test_a_path_below_a_closed_folder_is_one_that_cannot_be_seen(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def closed(path: Path, *rest: Any, **named: Any) -> Any:
        if path.suffix == ".yaml":
            raise PermissionError(13, "Permission denied")
        return opened(path, *rest, **named)

    items = [str(item.path) for item in project.find(registered=False)[0]]
    monkeypatch.setattr(Path, "open", closed)
    assert [str(item.path) for item in project.find(registered=False)[0]] == items


def test_a_note_of_an_earlier_version_whose_recipe_is_gone_stops_all_that_it_could_want(project: Project) -> None:
    (note,) = (project.store.root / RECIPES).glob("*.json")
    fields = json.loads(note.read_text())
    note.write_text(json.dumps({name: fields[name] for name in ("path", "last_run_unix")}))
    half = project.archive.with_name("0.zip.part")
    half.write_bytes(b"x")
    assert kinds(project.find(registered=False)[0]) == {"snapshots", "unfinished"}
    project.recipe.unlink()
    items, remarks = project.find(registered=False)
    assert kinds(items) == set()
    assert any("what it wants is not known" in line for line in remarks)


def test_an_edited_recipe_keeps_what_it_was_until_it_is_run_again(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    labels = project.folder("labels")
    project.edit("num_clusters: 8", "num_clusters: 9")
    assert "generations" not in kinds(project.find(registered=False)[0])
    with caplog.at_level("INFO"):
        project.note()
    assert str(labels.relative_to(project.store.root)) in caplog.text
    assert labels in [item.path for item in project.find(registered=False)[0]]


@pytest.mark.parametrize("where", ["place", "inside", "weights"])
def test_what_a_kept_recipe_starts_from_is_kept_with_its_lineage(where: str, project: Project, tmp_path: Path) -> None:
    first = project.plan()
    old = {kind: project.folder(kind) for kind in ("pretrain", "labels", "codebook")}
    folder = old["pretrain"] / "snapshots" if where == "inside" else old["pretrain"]
    digest = hashlib.sha256((old["pretrain"] / "model.safetensors").read_bytes()).hexdigest()
    if where == "weights":
        folder = tmp_path / "seen" / "from" / "elsewhere"
    start = f"start: {{folder: {folder}, sha256: '{digest}'}}"
    project.edit("network: tiny", f"network: tiny\n    {start}")
    project.change("num_clusters: 8", "num_clusters: 9")
    items, _ = project.find(registered=False)
    assert not {item.path for item in items} & set(old.values())
    assert ("snapshots" in kinds(items)) == (where != "inside")
    assert len(first) == len(project.plan())


def test_who_begins_between_the_look_and_the_deletion_keeps_it(project: Project) -> None:
    """Minutes pass between the two. Another run, or a registration, may want it by then."""
    other = project.recipe.with_name("other.yaml")
    other.write_text(project.recipe.read_text().replace("name: small", "name: other", 1))
    project.change("num_clusters: 8", "num_clusters: 9")
    kept = project.kept()
    items = [item for item in find_garbage(project.store, kept)[0] if item.what == "generations"]
    remember(other, project.store, plan(resolve(read_recipe(other), project.store)))
    assert items
    errors = [delete_item(item, project.store, kept) for item in items]
    assert all(error and "meanwhile" in str(error) for error in errors)
    assert all(item.path.exists() for item in items)
    forget(*find_notes(project.store, [other]), project.store)
    late = dataclasses.replace(kept, registered=frozenset())  # as if its registration was made after the look
    errors = [delete_item(item, project.store, late) for item in items]
    assert all(error and "small:1 was registered meanwhile" in str(error) for error in errors)
    partial = project.store.partial_folder(project.first("labels"))
    partial.mkdir(parents=True)
    with hold_lock(project.store.root / "locks" / f"labels-{project.first('labels').key}.lock", "labels"):
        unwanted = dataclasses.replace(kept, reasons={})
        assert "makes labels/" in str(delete_item(items[0], project.store, unwanted))
    assert [delete_item(item, project.store, kept) for item in items] == [None] * len(items)


@pytest.mark.parametrize("what", ["generations", "audio"])
def test_a_run_that_begins_in_the_moment_of_the_deletion_loses_nothing(
    what: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its note is written after the last look at the notes and before the rename: nothing held it off."""
    other = project.recipe.with_name("other.yaml")
    other.write_text(project.recipe.read_text().replace("name: small", "name: other", 1))
    if what == "audio":
        project.change("description: x", "description: x\nkeep: {audio: false}")
    else:
        project.change("num_clusters: 8", "num_clusters: 9")
    kept = project.kept()
    items = [item for item in find_garbage(project.store, kept)[0] if item.what == what]
    assert items
    find_use = delete.find_use

    def look(item: Item, store: Store, kept: Kept) -> str | None:
        found = find_use(item, store, kept)
        if item.path.exists():  # the look before the rename
            remember(other, store, plan(resolve(read_recipe(other), store)))
        return found

    monkeypatch.setattr(delete, "find_use", look)
    before = {item.path: sorted(item.path.rglob("*")) for item in items}
    for item in items:
        forget(*find_notes(project.store, [other]), project.store) if item != items[0] else None
        assert "meanwhile" in str(delete_item(item, project.store, kept))
    assert {item.path: sorted(item.path.rglob("*")) for item in items} == before
    assert find_thinned(plan(resolve(read_recipe(other), project.store)), project.store) == []
    assert project.store.has_all(plan(resolve(read_recipe(other), project.store)))


def test_a_kept_recipe_that_cannot_be_read_stops_everything(project: Project) -> None:
    project.edit("iterations:", "iteration:")
    with pytest.raises(UsageError, match="RECIPE"):
        project.find()


def test_an_attempt_stays_while_it_is_wanted_or_under_way(project: Project) -> None:
    model = project.first("pretrain")
    project.store.redo(model)
    project.collect()
    project.store.partial_folder(model).mkdir()
    items, remarks = project.find()
    assert "unfinished" not in kinds(items)
    assert any("recipe small continues it" in line for line in remarks)
    project.change("num_clusters: 8", "num_clusters: 9")
    lock = project.store.root / "locks" / f"pretrain-{model.key}.lock"
    with hold_lock(lock, "model"):
        items, remarks = project.find(registered=False)
        assert not kinds(items) & {"unfinished", "generations"}
        assert any(f"process {os.getpid()}" in line for line in remarks)
    assert {"unfinished", "generations"} <= kinds(project.find(registered=False)[0])


def test_what_somebody_works_on_when_it_is_deleted_stays(project: Project) -> None:
    items, _ = project.find()
    with hold_lock(items[0].lock or Path(), "it"):
        error = delete_item(items[0], project.store, project.kept())
    assert error is not None
    assert error.code == "LOCKED"
    assert items[0].path.exists()


def test_what_something_is_made_from_when_it_is_deleted_stays(project: Project) -> None:
    project.change("num_clusters: 8", "num_clusters: 9")
    labels = next(item for item in project.find(registered=False)[0] if item.path.parent.name == "labels")
    assert labels.lock
    with hold_in_use([labels.lock.with_suffix(".use")]):  # as `Store.make` does with its inputs
        error = delete_item(labels, project.store, project.kept())
    assert error is not None
    assert error.code == "LOCKED"
    assert labels.path.exists()


def test_a_version_of_another_registry_protects(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.change("num_clusters: 8", "num_clusters: 9")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert "generations" not in kinds(project.find(registered=False)[0])


@pytest.mark.parametrize("place", ["sync", "_erase"])
def test_a_kill_in_the_middle_leaves_a_store_that_is_whole(
    place: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the rename, and before: the note that files are dropped is there in both cases."""

    def die(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(delete, place, die)
    with pytest.raises(KeyboardInterrupt):
        project.collect()
    monkeypatch.undo()
    project.check()
    assert kinds(project.find()[0]) == {"trash"}
    project.collect()
    project.check()
    assert project.find()[0] == []


def test_a_kill_before_the_rename_leaves_what_can_be_dropped_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(delete.time, "time_ns", lambda: 1 / 0)  # the first thing after the note
        with pytest.raises(ZeroDivisionError):
            project.collect()
    project.check()
    assert project.collect()
    project.check()


def test_archives_that_nothing_names_and_half_downloads_go(project: Project) -> None:
    strangers = [project.store.downloads / f"{'0' * 64}.{suffix}" for suffix in ("deb", "tar.gz.part", "zip.bad")]
    for path in strangers:
        path.write_bytes(b"x")
    half = project.archive.with_name(f"{project.archive.name}.part")
    half.write_bytes(b"half")
    found = project.collect()
    assert [path.exists() for path in strangers] == [False, False, False], found
    assert half.exists()
    assert project.archive.exists()


def test_shipped_recipes_are_kept_and_have_no_voice_about_audio(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo keeps its audio by default. Nobody runs it here, so that it does not matter."""
    monkeypatch.undo()
    found = find_kept(project.store, ())
    assert {"demo", "small"} <= {item.recipe.name for item in found.recipes}
    assert {item.recipe.name for item in found.recipes if item.is_used} == {"small"}
    assert "recipe demo" in found.reasons.values()
