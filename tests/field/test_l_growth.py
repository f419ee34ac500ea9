"""Kind L, validation speech that is trained on: a corpus that grew drew its valid split anew; two corpora that share
speakers held out speech that the other trained on; shards were older than the corpus that they were made of.
"""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.folders import add_speakers, corpus_and_shards, make_both, read_resolved, write_project
from tests.mini_shards import Spoken, tones, write_shards
from tests.staircases import NUM_CLUSTERS, job_of, staircase, write_all_labels
from wavlm.corpus.build import build_corpus
from wavlm.corpus.candidates import hash_name
from wavlm.corpus.facts import CorpusFacts
from wavlm.corpus.layouts import key_of
from wavlm.corpus.manifest import read_manifest
from wavlm.errors import BadDataError
from wavlm.execution.job import LabelledShards
from wavlm.execution.progress import no_progress
from wavlm.features.extract import ExtractionPlan
from wavlm.labels.codebook import build_codebook
from wavlm.labels.pools import read_pools
from wavlm.loader.samples import TrainingSamples
from wavlm.pipeline.artifacts import Corpus
from wavlm.pipeline.resolve import contents_cache, resolve
from wavlm.pipeline.store import Store
from wavlm.shards import find_copies_of_valid, read_index
from wavlm.specs import CodebookSpec, MfccFeatures
from wavlm.specs.yaml import read_recipe

LOCAL_PLAN = ExtractionPlan("cpu", processes=1, threads=0, batch_samples=0, chunk_samples=0, groups_per_process=0)


def corpus_of(folder: Path, splits: dict[int, str]) -> LabelledShards:
    """Shards and labels of staircases by seed. The same seed is the same audio, under another key."""
    made = {seed: staircase(f"{folder.name}-{seed:03d}", 60 + seed, seed, split) for seed, split in splits.items()}
    shards = write_shards(folder / "shards", [spoken for spoken, _ in made.values()])
    write_all_labels(
        shards,
        folder / "labels",
        {spoken.key: labels for spoken, labels in made.values()},
        {spoken.key: len(spoken.waveform) for spoken, _ in made.values()},
    )
    return LabelledShards(shards=shards, labels=folder / "labels")


def test_what_one_corpus_holds_out_another_does_not_train_on(tmp_path: Path) -> None:
    first = corpus_of(tmp_path / "first", {0: "valid", 1: "valid", 2: "train", 3: "train", 4: "train"})
    second = corpus_of(tmp_path / "second", {0: "train", 1: "train", 3: "valid", 5: "train", 6: "train", 7: "train"})
    samples = TrainingSamples(job_of((first, second), tmp_path, num_clusters=NUM_CLUSTERS))
    assert set(samples.utterances.keys) == {
        "first-002", "first-004", "second-005", "second-006", "second-007",
    }  # fmt: skip
    assert samples.utterances.copies_of_valid == 3
    alone = TrainingSamples(job_of((second,), tmp_path / "alone", num_clusters=NUM_CLUSTERS))
    assert len(alone.utterances) == 5  # of a model that does not use the first corpus


def test_crops_and_labels_still_fit_where_rows_were_left_out(tmp_path: Path) -> None:
    first = corpus_of(tmp_path / "first", {0: "train", 1: "train", 2: "train"})
    second = corpus_of(tmp_path / "second", {1: "valid", 5: "train"})
    utterances = TrainingSamples(job_of((first, second), tmp_path)).utterances
    assert list(utterances.keys) == ["first-000", "first-002", "second-005"]
    for number, seed in enumerate((0, 2, 5)):
        pcm = np.empty((1, 320 * 50), np.int16)
        utterances.fill(pcm, np.array([number]), [3])
        _, expected = staircase("x", 60 + seed, seed)
        np.testing.assert_array_equal(pcm[0, ::320] // 128 - 1, expected[3:53])
        np.testing.assert_array_equal(utterances.labels(np.array([number]), [3], 50)[0], expected[3:53])


def test_a_codebook_is_not_fitted_on_what_another_corpus_holds_out(tmp_path: Path) -> None:
    speech = tones(6)
    held = [Spoken(f"other-{item.key}", "x", item.waveform, None, "valid") for item in speech[:2]]
    folders = [write_shards(tmp_path / "a", speech), write_shards(tmp_path / "b", [*held, *tones(3, seed=1)])]
    found = read_pools(folders, "ab", "train", 100)
    rows = [pool.find_rows(np.arange(len(pool.read_speakers()))) for pool in found.pools]
    keys = [read_index(folder).keys[row].tolist() for folder, row in zip(folders, rows, strict=True)]
    assert keys == [[item.key for item in speech[2:]], [item.key for item in tones(3, seed=1)]]
    spec = CodebookSpec(features=MfccFeatures(type="mfcc"), num_clusters=4, sample_frames_per_cluster=20)
    (tmp_path / "out").mkdir()
    facts = build_codebook(spec, dict(zip("ab", folders, strict=True)), None, tmp_path / "out", LOCAL_PLAN)
    assert facts.copies_of_valid == 2


def test_valid_speech_is_never_left_out(tmp_path: Path) -> None:
    both = [
        Spoken(f"{split}-{n}", "x", item.waveform, None, split)
        for n, item in enumerate(tones(3))
        for split in ("train", "valid")
    ]
    folder = write_shards(tmp_path / "a", both)
    assert find_copies_of_valid([folder])[0].tolist() == [True] * 3 + [False] * 3
    assert len(read_pools([folder], "a", "valid", 100).pools[0].read_speakers()) == 3


# --- growth of one corpus ---


def splits_of(corpus: Corpus, store: Store) -> dict[str, str]:
    return {row.key: row.split for row in read_manifest(store.path(corpus))}


def make_corpus(recipe: Path, store: Store) -> Corpus:
    corpus, _ = corpus_and_shards(read_resolved(recipe, store))
    cache = contents_cache(corpus.spec, store)
    store.make(corpus, lambda out: build_corpus(corpus.spec, store.downloads, out, no_progress, cache, 0))
    return corpus


def rule_of(corpus: Corpus, store: Store) -> str:
    return store.facts(corpus, CorpusFacts).split_rule


@pytest.mark.parametrize("first", [("ann", "bob"), ("cid", "ann", "dan", "fay")])
def test_what_was_held_out_is_never_trained_on_while_a_corpus_grows(tmp_path: Path, first: tuple[str, ...]) -> None:
    store, recipe = Store(tmp_path / "store"), write_project(tmp_path, speakers=first)
    made = [make_corpus(recipe, store)]
    for day, new in enumerate([("eve", "gus"), ("hal", "ida", "jon"), ("kim", "lea", "max", "ned", "oda", "pia")]):
        add_speakers(tmp_path / "wavs", [f"{name}{day}" for name in new], clips=3)
        made.append(make_corpus(recipe, store))
    assert len({corpus.key for corpus in made}) == 4
    assert len({rule_of(corpus, store) for corpus in made}) == 1
    for before, after in pairwise(splits_of(corpus, store) for corpus in made):
        assert {key for key, split in before.items() if split == "valid"} <= {
            key for key, split in after.items() if split == "valid"
        }
        assert "valid" in before.values()
        assert after.items() > before.items()


def test_the_rule_of_an_earlier_revision_is_part_of_the_key(tmp_path: Path) -> None:
    store, recipe = Store(tmp_path / "store"), write_project(tmp_path, speakers=("ann", "dan"))
    assert rule_of(make_corpus(recipe, store), store) == "recordings"
    # `cid` is below 0.3 and has less than 0.6 of the speech: alone, this would be split by speakers.
    add_speakers(tmp_path / "wavs", ["cid"], clips=2)
    grown, fresh = make_corpus(recipe, store), Store(tmp_path / "fresh")
    alone = make_corpus(recipe, fresh)
    assert (rule_of(grown, store), rule_of(alone, fresh)) == ("recordings", "speakers")
    assert grown.key != alone.key
    assert make_corpus(recipe, store).key == grown.key  # and stays, whatever is planned


def test_a_corpus_that_lost_its_held_out_speaker_keeps_its_key(tmp_path: Path) -> None:
    store, recipe = Store(tmp_path / "store"), write_project(tmp_path, speakers=("cid", "ann", "dan", "fay"))
    assert rule_of(make_corpus(recipe, store), store) == "speakers"
    shutil.rmtree(tmp_path / "wavs/cid")
    shrunk = make_corpus(recipe, store)
    assert rule_of(shrunk, store) == "recordings"  # unlike the rule that its key has
    again, _ = corpus_and_shards(resolve(read_recipe(recipe), store))
    assert again.key == shrunk.key
    assert store.is_complete(again)


def test_a_threshold_above_a_half_is_read_again(tmp_path: Path) -> None:
    store, recipe = Store(tmp_path / "store"), write_project(tmp_path, speakers=())
    names = [
        name for name in map("s{}".format, range(90)) if hash_name(key_of(f"{name}/0")) > 0.6 and hash_name(name) > 0.3
    ]
    add_speakers(tmp_path / "wavs", names[:2], clips=1)
    assert list(splits_of(make_corpus(recipe, store), store).values()).count("valid") == 1
    add_speakers(tmp_path / "wavs", names[2:4], clips=1)
    grown, _ = corpus_and_shards(read_resolved(recipe, store))
    assert grown.spec.valid_rule is not None
    assert grown.spec.valid_rule.below > 0.6


def test_another_share_draws_anew_and_another_speech_of_the_same_name_does_not_count(tmp_path: Path) -> None:
    store, recipe = Store(tmp_path / "store"), write_project(tmp_path / "one", speakers=("ann", "dan"))
    make_corpus(recipe, store)
    other = make_corpus(write_project(tmp_path / "two", speakers=("cid", "eve", "gus", "jon")), store)
    assert other.spec.valid_rule is None
    spec = tmp_path / "one/specs/corpora/voices.yaml"
    spec.write_text(spec.read_text().replace("0.3", "0.2"))
    add_speakers(tmp_path / "one/wavs", ["hal"], clips=2)
    assert make_corpus(recipe, store).spec.valid_rule is None


def test_shards_of_a_folder_that_has_grown_are_not_the_old_ones(tmp_path: Path) -> None:
    store, recipe = Store(tmp_path / "store"), write_project(tmp_path)
    make_both(read_resolved(recipe, store), store)
    add_speakers(tmp_path / "wavs", ["dan"], clips=2)
    assert not any(store.is_complete(item) for item in corpus_and_shards(resolve(read_recipe(recipe), store)))
    corpus, shards = corpus_and_shards(read_resolved(recipe, store))
    with pytest.raises(BadDataError, match=r"INPUT_MISSING: corpus/voices.*wavlm stage corpus"):
        store.make(shards, lambda out: CorpusFacts())  # type: ignore[call-arg]
    make_both(read_resolved(recipe, store), store)
    assert {row.speaker for row in read_manifest(store.path(corpus))} == set(read_index(store.path(shards)).speakers)


def test_shards_of_a_corpus_that_was_made_again_with_other_files_are_made_again(tmp_path: Path) -> None:
    store, recipe = Store(tmp_path / "store"), write_project(tmp_path)
    corpus, shards = make_both(read_resolved(recipe, store), store)
    store.redo(corpus)
    assert store.is_complete(shards)  # shards alone can still be used
    make_corpus(recipe, store)
    assert store.is_complete(shards)  # the same content again
    store.redo(corpus)

    def other(out: Path) -> CorpusFacts:
        facts = build_corpus(corpus.spec, store.downloads, out, no_progress, None, 0)
        (out / "audio").mkdir()
        (out / "audio/LICENSE").write_text("a file that was not there before")
        return facts

    store.make(corpus, other)
    assert not store.is_complete(shards)
    assert "was made from another corpus/voices" in str(store.explain_outdated(shards))
    make_both(read_resolved(recipe, store), store)
    assert store.is_complete(shards)
    assert len(list((store.root / "trash/shards").iterdir())) == 1
