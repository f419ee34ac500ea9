"""Kind L, validation speech that is trained on: a corpus that grew drew its valid split anew; two corpora that share
speakers held out speech that the other trained on; shards were older than the corpus that they were made of.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.mini_shards import Spoken, tones, write_shards
from tests.staircases import NUM_CLUSTERS, job_of, staircase, write_all_labels
from wavlm.execution.job import LabelledShards
from wavlm.features.extract import ExtractionPlan
from wavlm.labels.codebook import build_codebook
from wavlm.labels.sampling import read_utterances
from wavlm.loader.samples import TrainingSamples
from wavlm.shards import find_copies_of_valid
from wavlm.specs import CodebookSpec, MfccFeatures

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
    train = read_utterances(folders, "train")
    assert train.table["key"].to_pylist() == [*(item.key for item in speech[2:]), *(t.key for t in tones(3, seed=1))]
    assert train.folder.tolist() == [0] * 4 + [1] * 3
    spec = CodebookSpec(features=MfccFeatures(type="mfcc"), num_clusters=4, sample_frames_per_cluster=20)
    (tmp_path / "out").mkdir()
    facts = build_codebook(spec, folders, None, tmp_path / "out", LOCAL_PLAN)
    assert facts.copies_of_valid == 2


def test_valid_speech_is_never_left_out(tmp_path: Path) -> None:
    both = [
        Spoken(f"{split}-{n}", "x", item.waveform, None, split)
        for n, item in enumerate(tones(3))
        for split in ("train", "valid")
    ]
    folder = write_shards(tmp_path / "a", both)
    assert find_copies_of_valid([folder])[0].tolist() == [True] * 3 + [False] * 3
    assert len(read_utterances([folder], "valid").folder) == 3
