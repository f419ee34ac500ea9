"""`wavlm parts`: which share a job makes, and that shares lie beside each other until the stage seals them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from flows import make as flows_make
from flows.cli.parts import WITH_PARTS, choose_share, parts
from flows.make import make_share
from tests.folders import add_speakers, read_resolved, write_project
from tests.waiting import LIMIT_SECONDS
from wavlm.corpus import build as corpus_build
from wavlm.corpus import measure
from wavlm.corpus.listing import LISTING
from wavlm.corpus.shared import find_gathered
from wavlm.errors import LockedError, UsageError
from wavlm.execution.runtime import Runtime
from wavlm.execution.share import Share
from wavlm.pipeline.artifacts import Artifact, Corpus
from wavlm.pipeline.garbage.find import find_garbage
from wavlm.pipeline.garbage.kept import find_kept
from wavlm.pipeline.plan import plan
from wavlm.pipeline.record import read_record
from wavlm.pipeline.store import Store
from wavlm.shards import build, part
from wavlm.storage.ledger import SealedFile
from wavlm.storage.locks import hold_lock, hold_share

ROOT = Path(__file__).parents[2]
RUNTIME = Runtime(workers=1, wait_minutes=0)


def slurm(number: int, count: int, first: int, last: int, step: int = 1) -> dict[str, str]:
    values = {"ID": number, "COUNT": count, "MIN": first, "MAX": last, "STEP": step}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("environment", "share"),
    [
        (slurm(0, 3, 0, 2), Share(0, 3)),
        (slurm(2, 3, 0, 2), Share(2, 3)),
        (slurm(1, 3, 1, 3), Share(0, 3)),
        (slurm(12, 3, 10, 12), Share(2, 3)),
        (slurm(15, 4, 5, 20, 5), Share(2, 4)),
        (slurm(15, 4, 5, 22, 5), Share(2, 4)),
    ],
)
def test_an_element_of_a_slurm_array_is_a_share(environment: dict[str, str], share: Share) -> None:
    assert choose_share(None, None, environment) == share
    assert choose_share(4, 9, environment) == Share(4, 9)  # what is given counts


@pytest.mark.parametrize(
    ("rank", "of", "environment"),
    [
        (None, None, {}),
        (1, None, slurm(0, 3, 0, 2)),
        (None, 3, {}),
        (3, 3, {}),
        (None, None, slurm(3, 2, 3, 7)),  # --array=3,7: which of how many is not said
        (None, None, slurm(7, 2, 3, 7)),
        (None, None, slurm(1, 2, 1, 2) | {"SLURM_ARRAY_TASK_COUNT": "many"}),
    ],
)
def test_a_share_that_is_not_clear_is_refused(rank: int | None, of: int | None, environment: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"SHARE_BAD: which share to make is not clear: .*; .*; give"):
        choose_share(rank, of, environment)


def test_a_stage_without_parts_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    recipe = write_project(tmp_path)
    with pytest.raises(UsageError, match=f"NO_PARTS: .*{WITH_PARTS[0]}"):
        parts("pretrain", recipe, rank=0, of=2, store=tmp_path / "store")
    assert not (tmp_path / "store").exists()


@pytest.fixture
def many_parts(tmp_path: Path) -> tuple[Store, Artifact, Artifact]:
    """A store with a corpus, and the shards and labels to make: a tar for every few clips."""
    recipe = write_project(tmp_path, speakers=("ann", "bob", "cid", "dan", "eve", "fay"))
    recipe.write_text(recipe.read_text().replace("max_seconds: 4.0}", "max_seconds: 4.0, shard_megabytes: 0.02}"))
    store = Store(tmp_path / "store")
    artifacts = {item.kind: item for item in plan(read_resolved(recipe, store))}
    make(artifacts["corpus"], store)
    return store, artifacts["shards"], artifacts["corpus"]


def make(artifact: Artifact, store: Store) -> Path:
    return flows_make._TASKS[artifact.kind].fn(artifact, store, RUNTIME)


def test_shares_are_sealed_by_the_stage_which_makes_only_what_is_left(
    many_parts: tuple[Store, Artifact, Artifact], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store, shards, corpus = many_parts
    written: list[str] = []
    write_part = part._write_part
    monkeypatch.setattr(part, "_write_part", lambda tar, *rest: (written.append(tar.name), write_part(tar, *rest))[1])
    for rank in (2, 0):
        make_share(shards, store, RUNTIME, Share(rank, 3))
        assert not store.is_complete(shards)
    by_shares = set(written)
    written.clear()
    make(shards, store)
    assert len(by_shares) >= 4
    assert 2 <= len(written) <= len(by_shares)
    assert not by_shares & set(written)
    other = Store(tmp_path / "other")
    for item in (corpus, shards):
        make(item, other)
    assert read_record(other.path(shards)).files == read_record(store.path(shards)).files
    make_share(shards, store, RUNTIME, Share(0, 3))  # complete: nothing to do


def test_shares_do_not_wait_for_each_other_and_not_beside_who_makes_all(
    many_parts: tuple[Store, Artifact, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, shards, _ = many_parts
    lock = store.root / "locks" / f"shards-{shards.key}.lock"
    with hold_share(lock, "another rank"):
        make_share(shards, store, RUNTIME, Share(0, 3))
        with pytest.raises(LockedError, match="is being made by process"):
            make(shards, store)
    with hold_lock(lock, "a run"), pytest.raises(LockedError, match="is being made by process"):
        make_share(shards, store, RUNTIME, Share(0, 3))
    make(shards, store)


def test_what_another_attempt_left_is_moved_away_once_and_not_by_every_rank(
    many_parts: tuple[Store, Artifact, Artifact],
) -> None:
    store, shards, _ = many_parts
    partial = store.partial_folder(shards)
    partial.mkdir(parents=True)
    (partial / "of nobody").touch()
    make_share(shards, store, RUNTIME, Share(0, 2))
    assert not (partial / "of nobody").exists()
    made = set(partial.glob("*.tar"))
    make_share(shards, store, RUNTIME, Share(1, 2))
    assert made < set(partial.glob("*.tar"))
    assert len(list((store.root / "trash" / "shards").iterdir())) == 1


def test_a_stage_that_turns_out_to_have_no_parts_seals_nothing(
    many_parts: tuple[Store, Artifact, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, shards, _ = many_parts
    monkeypatch.setattr(build, "run_parts", lambda parts, work, *_: [work(item) for item in parts])
    with pytest.raises(UsageError, match="NO_PARTS"):
        make_share(shards, store, RUNTIME, Share(0, 2))
    assert not store.is_complete(shards)


def share_corpus(recipe: Path, store: Store, rank: int) -> None:
    parts("corpus", recipe, rank=rank, of=3, store=store.root, workers=1, wait_minutes=0)


SMALL_PARTS = """
import sys
from flows.cli import main
from wavlm.corpus import listing
listing.FILES_PER_PART = 2
main()
"""


@pytest.fixture
def many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Store]:
    """A recipe whose corpus has 12 files, a part for every two of them, and an empty store."""
    monkeypatch.setattr("wavlm.corpus.listing.FILES_PER_PART", 2)
    return write_project(tmp_path, speakers=("ann", "bob", "cid", "dan", "eve", "fay")), Store(tmp_path / "store")


def make_alone(recipe: Path, folder: Path) -> Mapping[str, SealedFile]:
    """The files of the corpus as one process makes it that knows nothing of what was made before."""
    for name in ("wavs", "specs/corpora/voices.yaml", "specs/recipes/small.yaml"):
        source, target = recipe.parents[2] / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)
    store = Store(folder / "store")
    corpus = next(item for item in plan(read_resolved(folder / "specs/recipes/small.yaml", store)))
    return read_record(make(corpus, store)).files


def test_shares_of_a_corpus_are_gathered_once_and_sealed_by_the_stage(
    many_files: tuple[Path, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, store = many_files
    gathered: list[str] = []
    looked: list[str] = []
    gather, probe = corpus_build.gather, measure._probe
    monkeypatch.setattr(corpus_build, "gather", lambda *args: (gathered.append(args[0].name), gather(*args))[1])
    monkeypatch.setattr(measure, "_probe", lambda path, *rest: (looked.append(path.name), probe(path, *rest))[1])
    for rank in (1, 2, 0):
        share_corpus(recipe, store, rank)
        assert len(looked) == 4 * (1 + (1, 2, 0).index(rank))
    assert gathered == ["voices"]
    corpus = next(item for item in plan(read_resolved(recipe, store)) if item.kind == "corpus")
    assert not store.is_complete(corpus)
    make(corpus, store)
    assert len(looked) == 12  # the stage has found all parts
    assert read_record(store.path(corpus)).files == make_alone(recipe, tmp_path / "alone")
    assert len(looked) == 24
    share_corpus(recipe, store, 0)  # complete: nothing to do
    assert len(looked) == 24
    assert find_garbage(store, find_kept(store, (), lambda _: True))[0] == []


def test_who_comes_while_the_files_are_gathered_waits_for_that(many_files: tuple[Path, Store]) -> None:
    recipe, store = many_files
    corpus = next(item for item in plan(read_resolved(recipe, store)) if item.kind == "corpus")
    lock = store.root / "locks" / f"corpus-{corpus.key}.gather"
    with (
        hold_lock(lock, "the first"),
        pytest.raises(LockedError, match="the list of the files of voices is being"),
    ):
        share_corpus(recipe, store, 1)
    share_corpus(recipe, store, 1)
    with hold_lock(lock, "a slow one"):
        share_corpus(recipe, store, 0)  # the list is there: nobody needs the lock


def test_a_list_that_was_written_anew_meanwhile_is_gathered_again(many_files: tuple[Path, Store]) -> None:
    recipe, store = many_files
    share_corpus(recipe, store, 0)
    corpus = next(item for item in plan(read_resolved(recipe, store)) if item.kind == "corpus")
    listing = store.partial_folder(corpus) / LISTING
    whole = listing.read_bytes()
    listing.write_bytes(whole[:-100])
    assert find_gathered(listing.parent) is None
    share_corpus(recipe, store, 1)
    assert listing.read_bytes() == whole


def test_a_later_generation_of_a_corpus_has_no_parts_and_is_left_to_the_stage(many_files: tuple[Path, Store]) -> None:
    recipe, store = many_files
    make(next(item for item in plan(read_resolved(recipe, store)) if item.kind == "corpus"), store)
    add_speakers(recipe.parents[2] / "wavs", ("gus",))
    for rank in range(3):
        share_corpus(recipe, store, rank)
    second = next(item for item in plan(read_resolved(recipe, store)) if item.kind == "corpus")
    assert isinstance(second, Corpus)
    assert second.spec.folder
    assert second.spec.folder.generation == 2
    assert not store.is_complete(second)
    make(second, store)
    assert store.is_complete(second)


def test_ranks_begin_with_different_corpora_and_make_a_share_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(flows_make, "make_share", lambda *args: asked.append((args[0].name, args[3].rank)))
    monkeypatch.setattr("flows.ready.check_ready", lambda *_: None)
    for rank in range(2):
        parts("corpus", ROOT / "data_specs/recipes/demo.yaml", rank=rank, of=2, store=tmp_path)
    count = len(asked) // 2
    first, second = asked[:count], asked[count:]
    assert count > 1
    assert [name for name, _ in second] == [name for name, _ in (*first[1:], first[0])]
    assert {name: (rank + 1) % 2 for name, rank in first} == dict(second)


@pytest.mark.full
def test_jobs_that_begin_at_once_make_one_corpus(many_files: tuple[Path, Store], tmp_path: Path) -> None:
    recipe, store = many_files
    words = ["parts", "corpus", str(recipe), "--store", str(store.root), "--of", "3", "--workers", "1", "--rank"]
    jobs = [subprocess.Popen([sys.executable, "-c", SMALL_PARTS, *words, str(rank)], cwd=ROOT) for rank in range(3)]
    assert [job.wait(LIMIT_SECONDS) for job in jobs] == [0, 0, 0]
    corpus = next(item for item in plan(read_resolved(recipe, store)) if item.kind == "corpus")
    make(corpus, store)
    assert read_record(store.path(corpus)).files == make_alone(recipe, tmp_path / "alone")
