"""Corpora for evaluations in the store: sealed with their targets, held out in shards, and growing as others do."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.folders import add_speakers
from wavlm.corpus.manifest import read_manifest
from wavlm.corpus.targets import read_targets, read_trials
from wavlm.errors import BadDataError
from wavlm.execution.progress import no_progress
from wavlm.pipeline.artifacts import Corpus
from wavlm.pipeline.grow import grow
from wavlm.pipeline.resolve import resolve_corpus
from wavlm.pipeline.store import Store
from wavlm.pipeline.verify import verify
from wavlm.shards import build_shards
from wavlm.shards.index import read_index
from wavlm.shards.recordings import Intake
from wavlm.specs import ShardSpec
from wavlm.specs.yaml import read_corpus

WORDS = """name: words
role: evaluation
description: x
homepage: x
license: x
citation: x
sources: [{type: folder, path: ../wavs}]
layout:
  type: generic
  audio: "**/*.flac"
  speaker: "^(?P<speaker>[^/]+)/"
  transcripts: labels.tsv
  text_column: ""
  partition_column: part
  class_column: word
  trials: [pairs.tsv]
"""


@pytest.fixture
def words(tmp_path: Path) -> Path:
    (tmp_path / "corpora").mkdir()
    (tmp_path / "corpora/words.yaml").write_text(WORDS)
    return fill(tmp_path, ("ann", "bob"))


def fill(folder: Path, speakers: tuple[str, ...]) -> Path:
    add_speakers(folder / "wavs", speakers)
    rows = "".join(f"{who}/{clip}\ttest\tword{clip}\n" for who in speakers for clip in (0, 1))
    (folder / "wavs/labels.tsv").write_text(f"utt_id\tpart\tword\n{rows}")
    (folder / "wavs/pairs.tsv").write_text("enrol\ttest\tis_target\nann/0\tann/1\t1\nann/0\tbob/1\t0\n")
    return folder / "corpora/words.yaml"


def made(path: Path, store: Store) -> Path:
    """The folder of the corpus, as the files are now."""
    spec = read_corpus(path)
    grow(spec, store, stall_seconds=0)
    return store.path(Corpus(resolve_corpus(spec, store)))


def test_damaged_targets_and_trials_are_found_before_they_are_used(words: Path, tmp_path: Path) -> None:
    folder = made(words, Store(tmp_path / "store"))
    assert verify(folder) == []
    for name, read in (("targets.parquet", read_targets), ("trials.parquet", read_trials)):
        path = folder / name
        blob = path.read_bytes()
        path.chmod(0o644)
        table = pq.read_table(path)
        pq.write_table(table.slice(1), path)
        with pytest.raises(BadDataError, match="CHECKSUM"):
            read(folder)
        path.unlink()
        with pytest.raises(BadDataError, match="CHECKSUM"):
            read(folder)
        assert [item.path for item in verify(folder)] == [path]
        path.write_bytes(blob)
    assert verify(folder) == []


def test_a_grown_corpus_has_the_targets_of_all_its_recordings_and_holds_all_out(words: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    first = made(words, store)
    fill(tmp_path, ("ann", "bob", "cid"))
    second = made(words, store)
    assert first != second
    assert len(read_targets(first)) == 4
    assert read_targets(second).keys == tuple(f"{who}__{clip}" for who in ("ann", "bob", "cid") for clip in (0, 1))
    assert {(row.split, row.generation) for row in read_manifest(second)} == {("valid", 1), ("valid", 2)}
    assert read_targets(second).values("class")["cid__1"] == "word1"


def test_shards_of_a_corpus_for_evaluations_are_all_held_out(words: Path, tmp_path: Path) -> None:
    folder = made(words, Store(tmp_path / "store"))
    spec = ShardSpec(min_seconds=0.1, max_seconds=4.0)
    intake = Intake(stall_seconds=0, root=tmp_path / "wavs")
    build_shards(spec, folder, tmp_path / "shards", 1, no_progress, intake)
    index = read_index(tmp_path / "shards")
    assert len(index) == 4
    assert sorted(path.stem for path in (tmp_path / "shards").glob("*.tar")) == ["valid-000000"]
