"""A corpus that grows: what was there keeps its place, its split, its parts of shards and its labels."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from flows.cli.inventory import list_totals
from tests.folders import add_speakers, corpus_and_shards, grow_both, make_shards, read_resolved, write_project
from wavlm.corpus import measure
from wavlm.corpus.build import grow_corpus
from wavlm.corpus.facts import CorpusFacts
from wavlm.corpus.growth import write as list_writer
from wavlm.corpus.growth.generations import LIST, read_list
from wavlm.corpus.manifest import read_manifest
from wavlm.errors import BadDataError, CannotWriteError, UsageError
from wavlm.execution.fence import FencePool
from wavlm.execution.progress import no_progress
from wavlm.pipeline.amounts import share_to_make
from wavlm.pipeline.artifacts import Artifact, Codebook, Corpus, Shards
from wavlm.pipeline.check.generations import check_generations
from wavlm.pipeline.check.wanted import Wanted
from wavlm.pipeline.cost import cost
from wavlm.pipeline.estimate import REFERENCE_FLOPS, estimate_seconds
from wavlm.pipeline.garbage.delete import delete_item
from wavlm.pipeline.garbage.find import find_garbage
from wavlm.pipeline.garbage.kept import find_kept
from wavlm.pipeline.garbage.notes import remember
from wavlm.pipeline.grow import compact, grow, read_growing
from wavlm.pipeline.growth import describe_generation, describe_reuse
from wavlm.pipeline.lost_lists import find_lost
from wavlm.pipeline.plan import plan
from wavlm.pipeline.resolve import contents_cache, resolve
from wavlm.pipeline.selection import select
from wavlm.pipeline.store import Store
from wavlm.pipeline.verify import verify
from wavlm.shards.facts import ShardsFacts
from wavlm.shards.index import read_index
from wavlm.specs import CorpusSpec
from wavlm.specs.yaml import read_corpus, read_recipe

ABOUT = {"artifact.json", "seal.json"}
# Of these, only the hashes of `bob` and `cid` are below 0.3.
FIRST = ("ann", "bob", "cid", "dan", "fay")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_project(tmp_path, speakers=FIRST)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def voices(recipe: Path) -> CorpusSpec:
    return read_corpus(recipe.parents[1] / "corpora/voices.yaml")


def list_of(recipe: Path) -> Path:
    return recipe.parents[1] / "corpora/voices.generations"


def wavs(recipe: Path) -> Path:
    return recipe.parents[2] / "wavs"


def parts_of(shards: Shards, store: Store) -> dict[str, str]:
    """The sha256 of each tar."""
    tars = sorted(store.path(shards).glob("*.tar"))
    return {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in tars}


def splits_of(corpus: Corpus, store: Store) -> dict[str, str]:
    return {row.key: row.split for row in read_manifest(store.path(corpus))}


def content_of(artifact: Artifact, store: Store) -> dict[str, bytes]:
    folder = store.path(artifact)
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in ABOUT)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def reused(shards: Shards, store: Store) -> int:
    return store.facts(shards, ShardsFacts).parts_reused


# --- what a generation costs ---


def test_what_is_added_makes_parts_of_its_own_and_nothing_else(recipe: Path, store: Store) -> None:
    first, before = grow_both(recipe, store)
    add_speakers(wavs(recipe), ["gus"])
    second, after = grow_both(recipe, store)
    old, new = parts_of(before, store), parts_of(after, store)
    assert old.keys() == {"train-000000", "valid-000000"}
    assert new == {**old, **{stem: digest for stem, digest in new.items() if "-g002-" in stem}}
    assert len(new) == 3
    assert reused(after, store) == 2
    assert splits_of(second, store).items() > splits_of(first, store).items()
    assert {row.generation for row in read_manifest(store.path(second)) if row.speaker == "gus"} == {2}


def test_a_removed_and_a_changed_recording_rebuild_their_part_alone(recipe: Path, store: Store) -> None:
    grow_both(recipe, store)
    add_speakers(wavs(recipe), ["gus"])
    _, before = grow_both(recipe, store)
    (wavs(recipe) / "bob/0.flac").unlink()  # of the first generation, and held out
    _, removed = grow_both(recipe, store)
    changed = {stem for stem, digest in parts_of(removed, store).items() if parts_of(before, store)[stem] != digest}
    assert (changed, reused(removed, store)) == ({"valid-000000"}, 2)
    shutil.copy(wavs(recipe) / "ann/0.flac", wavs(recipe) / "gus/1.flac")
    _, other = grow_both(recipe, store)
    changed = {stem for stem, digest in parts_of(other, store).items() if parts_of(removed, store)[stem] != digest}
    assert changed <= {stem for stem in parts_of(other, store) if "-g002-" in stem}
    assert len(changed) == 1
    assert "bob__0" not in read_index(store.path(other)).keys


def test_files_that_are_known_are_not_opened_again(recipe: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    grow_both(recipe, store)
    add_speakers(wavs(recipe), ["gus"])
    looked: list[str] = []
    probe = measure._probe

    def look(path: Path, fences: FencePool) -> tuple[int, int]:
        looked.append(path.parent.name)
        return probe(path, fences)

    monkeypatch.setattr(measure, "_probe", look)
    grow_both(recipe, store)
    assert looked == ["gus", "gus"]


def test_late_texts_of_some_recordings_rebuild_their_parts_alone(tmp_path: Path, store: Store) -> None:
    recipe = write_project(tmp_path, speakers=FIRST)
    spec = tmp_path / "specs/corpora/voices.yaml"
    spec.write_text(
        spec.read_text().replace("layout: {", "layout: {transcripts: texts.tsv, id_column: file, max_without_row: 1, ")
    )
    texts = wavs(recipe) / "texts.tsv"
    texts.write_text("file\ttext\nann/0\thello\n")
    _, before = grow_both(recipe, store)
    texts.write_text("file\ttext\nann/0\thello\nbob/0\tgood day\n")
    corpus, after = grow_both(recipe, store)
    assert (corpus.spec.folder and corpus.spec.folder.generation, reused(after, store)) == (2, 1)
    assert parts_of(before, store)["train-000000"] == parts_of(after, store)["train-000000"]
    assert parts_of(before, store)["valid-000000"] != parts_of(after, store)["valid-000000"]


# --- the same bytes from nothing ---


def test_a_store_built_from_nothing_replays_the_list_and_has_the_same_bytes(
    recipe: Path, store: Store, tmp_path: Path
) -> None:
    grow_both(recipe, store)
    add_speakers(wavs(recipe), ["gus", "hal"])
    grow_both(recipe, store)
    shutil.rmtree(wavs(recipe) / "bob")
    grow_both(recipe, store)
    add_speakers(wavs(recipe), ["bob"])  # comes back: a new place
    shutil.copy(wavs(recipe) / "dan/1.flac", wavs(recipe) / "fay/0.flac")
    made = grow_both(recipe, store)
    fresh = Store(tmp_path / "fresh")
    again = grow_both(recipe, fresh)
    assert [item.key for item in made] == [item.key for item in again]
    for item in made:
        assert content_of(item, store) == content_of(item, fresh)
    assert reused(made[1], store) > reused(again[1], fresh) == 0


def test_an_earlier_generation_can_be_made_again_as_long_as_its_recordings_are_there(
    recipe: Path, store: Store, tmp_path: Path
) -> None:
    _, first = grow_both(recipe, store)
    add_speakers(wavs(recipe), ["gus"])
    grow_both(recipe, store)
    fresh = Store(tmp_path / "fresh")
    codebook = next(item for item in plan(read_resolved(recipe, fresh)) if isinstance(item, Codebook))
    assert codebook.shards[0].key == first.key
    make_corpus(codebook.shards[0].corpus, fresh)
    make_shards(codebook.shards[0], fresh)
    assert content_of(first, store) == content_of(first, fresh)
    assert content_of(first.corpus, store) == content_of(first.corpus, fresh)


def test_an_earlier_generation_whose_recordings_are_gone_is_an_error_in_the_first_second(
    recipe: Path, store: Store, tmp_path: Path
) -> None:
    grow_both(recipe, store)
    (wavs(recipe) / "ann/0.flac").unlink()
    grow_both(recipe, store)
    fresh = Store(tmp_path / "fresh")
    resolved = read_resolved(recipe, fresh)
    codebook = next(item for item in plan(resolved) if isinstance(item, Codebook))
    gone = r"GENERATION_GONE: 1 recordings of generation 1 of voices, such as ann__0.*refit"
    with pytest.raises(BadDataError, match=gone):
        make_corpus(codebook.shards[0].corpus, fresh)
    (problem,) = check_generations(Wanted(resolved, plan(resolved), fresh, None))  # type: ignore[arg-type]
    assert "GENERATION_GONE" in str(problem)


def make_corpus(corpus: Corpus, store: Store) -> None:
    cache = contents_cache(corpus.spec, store)
    store.make(corpus, lambda out: grow_corpus(corpus.spec, store.downloads, out, no_progress, cache, 0))


# --- splits ---


def test_a_new_recording_goes_where_its_speaker_is_and_nothing_moves(recipe: Path, store: Store) -> None:
    corpus, _ = grow_both(recipe, store)
    seen = splits_of(corpus, store)
    assert {key for key, split in seen.items() if split == "valid"} == {"bob__0", "bob__1", "cid__0", "cid__1"}
    for day, clips in enumerate((3, 4, 5)):
        add_speakers(wavs(recipe), ["bob", "ann", f"new{day}"], clips)
        corpus, _ = grow_both(recipe, store)
        now = splits_of(corpus, store)
        assert now.items() > seen.items()
        assert now["bob__3" if clips > 3 else "bob__2"] == "valid"
        assert now["ann__2"] == "train"
        seen = now


def test_speech_that_was_held_out_is_not_trained_on_after_it_was_removed(recipe: Path, store: Store) -> None:
    grow_both(recipe, store)
    (wavs(recipe) / "dan/held.flac").write_bytes((wavs(recipe) / "bob/0.flac").read_bytes())
    (wavs(recipe) / "cid/known.flac").write_bytes((wavs(recipe) / "ann/0.flac").read_bytes())
    corpus, _ = grow_both(recipe, store)
    shutil.rmtree(wavs(recipe) / "bob")
    later, _ = grow_both(recipe, store)
    for item in (corpus, later):
        assert not {"dan__held", "cid__known"} & splits_of(item, store).keys()
        excluded = store.facts(item, CorpusFacts).excluded
        assert {why: amount.recordings for why, amount in excluded.items()} == {"COPY_OF_VALID": 1, "COPY_OF_TRAIN": 1}


def test_a_speaker_who_gets_the_name_of_a_held_out_one_is_told(
    recipe: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    spec = recipe.parents[1] / "corpora/voices.yaml"
    layout = "layout: {type: generic, transcripts: names.tsv, text_column: '', speaker_column: who}"
    lines = [line if not line.startswith("layout") else layout for line in spec.read_text().splitlines()]
    spec.write_text("\n".join(lines) + "\n")
    names = wavs(recipe) / "names.tsv"
    rows = [f"{name}/{clip}\t{name}" for name in FIRST for clip in range(2)]
    names.write_text("\n".join(["utt_id\twho", *rows]) + "\n")
    before, _ = grow_both(recipe, store)
    names.write_text(names.read_text().replace("dan/0\tdan", "dan/0\tbob"))
    after, _ = grow_both(recipe, store)
    assert splits_of(after, store) == splits_of(before, store)
    assert "1 recordings stay in train" in caplog.text


def test_a_corpus_whose_held_out_speech_is_gone_is_refused(recipe: Path, store: Store) -> None:
    grow_both(recipe, store)
    for name in ("bob", "cid"):
        shutil.rmtree(wavs(recipe) / name)
    with pytest.raises(BadDataError, match="VALID_EMPTY: all held-out recordings of voices were removed"):
        grow_both(recipe, store)


# --- the list ---


def killed_at(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(list_writer, name, die)


@pytest.mark.parametrize("place", ["atomic_path", "write_digested", "_remove_others"])
def test_killed_anywhere_the_rerun_ends_the_same(
    place: str, recipe: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow_both(recipe, store)
    add_speakers(wavs(recipe), ["gus"])
    shutil.copytree(list_of(recipe), tmp_path / "before")
    with monkeypatch.context() as patch:
        killed_at(place, patch)
        with pytest.raises(KeyboardInterrupt):
            grow_both(recipe, store)
    ended, _ = grow_both(recipe, store)
    after_kill = {path.name: path.read_bytes() for path in list_of(recipe).glob("[!.]*")}
    shutil.rmtree(list_of(recipe))
    shutil.copytree(tmp_path / "before", list_of(recipe))
    straight, _ = grow_both(recipe, Store(tmp_path / "other"))
    assert ended.key == straight.key
    assert after_kill == {path.name: path.read_bytes() for path in list_of(recipe).glob("[!.]*")}


def test_another_layout_begins_a_new_list_and_keeps_the_old_one(recipe: Path, store: Store) -> None:
    corpus, _ = grow_both(recipe, store)
    add_speakers(wavs(recipe), ["gus"])
    grow_both(recipe, store)
    before = (list_of(recipe) / LIST).read_bytes()
    spec = recipe.parents[1] / "corpora/voices.yaml"
    spec.write_text(spec.read_text() + "channels: first\n")
    wanted, _ = corpus_and_shards(read_resolved(recipe, store))
    assert "made for another spec" in " ".join(describe_generation(wanted, store))
    made, _ = grow_both(recipe, store)
    assert made.spec.folder is not None
    assert made.spec.folder.generation == 1
    assert made.spec.valid_rule is not None  # that of the old list: what was held out stays held out
    assert (list_of(recipe) / "list.0001.json").read_bytes() == before
    found = read_list(voices(recipe))
    assert found is not None
    assert found.latest == 1
    assert {key for key, split in splits_of(made, store).items() if split == "valid"} >= {
        key for key, split in splits_of(corpus, store).items() if split == "valid"
    }


def test_a_list_that_was_edited_is_refused_and_can_be_begun_anew(recipe: Path, store: Store) -> None:
    corpus, _ = grow_both(recipe, store)
    path = list_of(recipe) / LIST
    path.write_text(path.read_text().replace('"number": 1', '"number": 2'))
    with pytest.raises(BadDataError, match=r"GENERATIONS_DAMAGED: .*--compact"):
        resolve(read_recipe(recipe), store)
    assert compact(voices(recipe)) is None
    again, _ = grow_both(recipe, store)
    assert splits_of(again, store) == splits_of(corpus, store)


def test_compacting_begins_with_all_that_is_there(recipe: Path, store: Store) -> None:
    with pytest.raises(UsageError, match="NOTHING_FITS"):
        compact(voices(recipe))
    grow_both(recipe, store)
    add_speakers(wavs(recipe), ["gus"])
    before, _ = grow_both(recipe, store)
    old = compact(voices(recipe))
    after, shards = grow_both(recipe, store)
    assert old is not None
    assert old.latest == 2
    assert parts_of(shards, store).keys() == {"train-000000", "valid-000000"}
    assert splits_of(after, store) == splits_of(before, store)


def test_a_list_that_was_lost_comes_back_with_the_next_run(recipe: Path, store: Store, tmp_path: Path) -> None:
    grow_both(recipe, store)
    add_speakers(wavs(recipe), ["gus"])
    before, _ = grow_both(recipe, store)
    saved = (list_of(recipe) / LIST).read_bytes()
    shutil.rmtree(list_of(recipe))
    assert find_lost(voices(recipe), Store(tmp_path / "other")) is None
    again, _ = grow_both(recipe, store)
    assert (list_of(recipe) / LIST).read_bytes() == saved
    assert again.key == before.key
    shutil.rmtree(list_of(recipe))
    add_speakers(wavs(recipe), ["hal"])
    _, after = grow_both(recipe, store)
    assert reused(after, store) == 3


def test_a_corpus_of_other_speech_or_for_another_spec_gives_no_list(recipe: Path, store: Store, tmp_path: Path) -> None:
    grow_both(recipe, store)
    stranger = write_project(tmp_path / "stranger", speakers=("kim",))
    assert find_lost(voices(stranger), store) is None
    add_speakers(wavs(stranger), FIRST)
    assert find_lost(voices(stranger), store) is not None
    spec = stranger.parents[1] / "corpora/voices.yaml"
    spec.write_text(spec.read_text().replace("0.3", "0.2"))
    assert find_lost(voices(stranger), store) is None


def test_a_pinned_folder_does_not_grow(recipe: Path, store: Store) -> None:
    corpus, _ = grow_both(recipe, store)
    assert corpus.spec.folder is not None
    spec = recipe.parents[1] / "corpora/voices.yaml"
    spec.write_text(
        spec.read_text().replace("{type: folder,", f"{{type: folder, content: {corpus.spec.folder.content},")
    )
    assert corpus_and_shards(read_resolved(recipe, store))[0].key == corpus.key
    add_speakers(wavs(recipe), ["gus"])
    with pytest.raises(BadDataError, match="FOLDER_CHANGED"):
        read_resolved(recipe, store)
    with pytest.raises(UsageError, match="NOTHING_FITS: no corpus grows"):
        read_growing(spec)


def test_specs_that_cannot_be_written_are_an_error_before_any_work(
    recipe: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow_both(recipe, store)
    add_speakers(wavs(recipe), ["gus"])
    closed = list_of(recipe)
    is_open = list_writer.os.access
    monkeypatch.setattr(
        list_writer.os, "access", lambda path, mode: Path(path) != closed and is_open(path, mode)
    )  # root may write everything
    resolved = read_resolved(recipe, store)
    (problem,) = check_generations(Wanted(resolved, plan(resolved)[:1], store, None))  # type: ignore[arg-type]
    assert isinstance(problem, CannotWriteError)
    assert "GENERATIONS_CLOSED" in str(problem)
    with pytest.raises(CannotWriteError, match="GENERATIONS_CLOSED"):
        grow(voices(recipe), store, stall_seconds=0)


def test_a_spec_in_the_folder_of_the_speech_keeps_no_list(tmp_path: Path, store: Store) -> None:
    recipe = write_project(tmp_path / "wavs", path="../..", speakers=FIRST)
    assert grow(voices(recipe), store, stall_seconds=0) is None
    assert not list_of(recipe).exists()


# --- plans, codebooks, other commands ---


def test_a_plan_tells_generations_and_what_is_taken_over(recipe: Path, store: Store) -> None:
    grow_both(recipe, store)
    add_speakers(wavs(recipe), ["gus"])
    corpus, shards = corpus_and_shards(read_resolved(recipe, store))
    assert list(describe_generation(corpus, store)) == [
        "generation 2", "files since generation 1: 2 added, 0 changed, 0 removed",
    ]  # fmt: skip
    assert "takes over" in " ".join(describe_reuse(shards, store))
    grow(voices(recipe), store, stall_seconds=0)
    assert list(describe_reuse(shards, store)) == ["reuses 2 of 3 parts"]


def test_room_and_time_are_asked_for_what_is_new_alone(recipe: Path, store: Store) -> None:
    _, first = grow_both(recipe, store)
    whole = cost(resolve(read_recipe(recipe), store), store).left_gigabytes.known
    add_speakers(wavs(recipe), ["gus"])  # by a fifth
    corpus, shards = corpus_and_shards(read_resolved(recipe, store))
    assert share_to_make(shards, store) == pytest.approx(1 / 6, rel=0.01)  # by the bytes of the folder
    grow(voices(recipe), store, stall_seconds=0)
    assert share_to_make(shards, store) == pytest.approx(1 / 6, rel=0.01)  # by its hours
    assert share_to_make(first, store) == 1
    estimate = estimate_seconds([corpus, first, shards], store, REFERENCE_FLOPS, 1)
    assert 0 < estimate[shards] - estimate[corpus] < 0.5 * (estimate[first] - estimate[corpus])
    assert cost(resolve(read_recipe(recipe), store), store).left_gigabytes.known < 1.5 * whole


@pytest.mark.parametrize(("refit", "expected"), [("never", [1, 1, 1]), ("{growth: 0.5}", [1, 1, 3])])
def test_a_codebook_stays_until_the_corpus_has_grown_enough(
    refit: str, expected: list[int], recipe: Path, store: Store
) -> None:
    recipe.write_text(recipe.read_text().replace("num_clusters: 8}", f"num_clusters: 8, refit: {refit}}}"))
    found = []
    for names in ((), ("gus",), ("ida", "kim", "lea")):  # by 0, by 1/5, and by 4/5 of the first generation
        add_speakers(wavs(recipe), names)
        grow_both(recipe, store)
        codebook = next(item for item in plan(resolve(read_recipe(recipe), store)) if isinstance(item, Codebook))
        assert codebook.shards[0].corpus.spec.folder is not None
        found.append(codebook.shards[0].corpus.spec.folder.generation)
    assert found == expected


def test_a_stage_is_that_of_the_last_generation(recipe: Path, store: Store) -> None:
    grow_both(recipe, store)
    add_speakers(wavs(recipe), ["gus"])
    _, last = grow_both(recipe, store)
    artifacts = plan(resolve(read_recipe(recipe), store))
    assert len([item for item in artifacts if isinstance(item, Shards)]) == 2
    assert [item.key for item in select(artifacts, "shards", corpus="voices")] == [last.key]


# --- parts that are damaged, and stores that are moved ---


def test_a_part_that_is_damaged_is_made_again_and_not_taken_over(recipe: Path, store: Store) -> None:
    _, before = grow_both(recipe, store)
    sound = parts_of(before, store)
    tar = store.path(before) / "train-000000.tar"
    damaged = bytearray(tar.read_bytes())
    damaged[1000] ^= 1
    tar.write_bytes(damaged)
    add_speakers(wavs(recipe), ["gus"])
    _, after = grow_both(recipe, store)
    assert parts_of(after, store)["train-000000"] == sound["train-000000"]
    assert reused(after, store) == 1
    assert verify(store.path(after)) == []


def test_a_store_that_was_copied_without_links_keeps_all_reuse(recipe: Path, store: Store, tmp_path: Path) -> None:
    grow_both(recipe, store)
    add_speakers(wavs(recipe), ["gus"])
    _, shards = grow_both(recipe, store)
    assert max(path.stat().st_nlink for path in store.path(shards).glob("*.tar")) > 1 or is_cloned(shards, store)
    shutil.copytree(store.root, tmp_path / "elsewhere")  # as rsync without -H does it
    shutil.rmtree(store.root)
    moved = Store(tmp_path / "elsewhere")
    assert moved.is_complete(shards)
    add_speakers(wavs(recipe), ["hal"])
    _, after = grow_both(recipe, moved)
    assert reused(after, moved) == 3
    assert [damage for folder in moved.folders() for damage in verify(folder)] == []


def is_cloned(shards: Shards, store: Store) -> bool:
    """Whether the disk shares blocks instead of names."""
    return reused(shards, store) > 0


# --- house-keeping ---


def collected(recipe: Path, store: Store) -> tuple[dict[str, int], list[str]]:
    """What house-keeping would delete, with the bytes that it frees, and what it says about the rest."""
    remember(recipe, store, plan(resolve(read_recipe(recipe), store)))
    items, remarks = find_garbage(store, find_kept(store, ()))
    return {str(item.path.relative_to(store.root)): item.num_bytes for item in items}, remarks


def used_by(store: Store) -> int:
    """Bytes of all files below a store; one with several names counts once."""
    states = {path.lstat().st_ino: path.lstat().st_size for path in store.root.rglob("*") if path.is_file()}
    return sum(states.values())


def test_house_keeping_knows_generations_and_the_parts_that_they_share(recipe: Path, store: Store) -> None:
    made = [grow_both(recipe, store)]
    for name in ("gus", "hal"):
        add_speakers(wavs(recipe), [name])
        made.append(grow_both(recipe, store))
    found, _ = collected(recipe, store)
    assert found.keys() == {item.folder for item in made[1]}  # the first one has the codebook, the last one is wanted
    assert sum(item.num_bytes for item in list_totals(store)) == used_by(store)
    before = used_by(store)
    kept = find_kept(store, ())
    assert [delete_item(item, store, kept) for item in find_garbage(store, kept)[0]] == [None, None]
    assert before - used_by(store) == sum(found.values())
    assert sum(found.values()) < sum(path.stat().st_size for path in store.path(made[2][1]).glob("*.tar"))
    assert [damage for folder in store.folders() for damage in verify(folder)] == []
    add_speakers(wavs(recipe), ["ida"])
    _, after = grow_both(recipe, store)
    assert reused(after, store) == 4


def test_what_the_next_generation_takes_over_stays(recipe: Path, store: Store) -> None:
    grow_both(recipe, store)
    add_speakers(wavs(recipe), ["gus"])
    _, second = grow_both(recipe, store)
    add_speakers(wavs(recipe), ["hal"])
    grow(voices(recipe), store, stall_seconds=0)  # the corpus is there, its shards are not
    found, remarks = collected(recipe, store)
    assert second.folder not in found
    assert f"{second.folder} stays: its next generation takes parts over from it" in remarks
