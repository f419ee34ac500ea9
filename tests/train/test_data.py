"""The data of a job: what is validated while it trains, and what once at the end."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.staircases import job_of, write_corpus
from wavlm.engine.ranks import Ranks
from wavlm.execution.job import LabelledShards
from wavlm.train.data import data_of

ALONE = Ranks(0, 1, torch.device("cpu"))


def stored(corpus: LabelledShards, name: str) -> LabelledShards:
    """The corpus in a folder as a store names it."""
    return LabelledShards(shards=corpus.shards.rename(corpus.shards.with_name(name)), labels=corpus.labels)


def test_each_of_several_corpora_is_validated_at_the_end(tmp_path: Path) -> None:
    first = stored(write_corpus(tmp_path / "a", "first", 30), "festvox-ru-0c66e4c3eee3")
    second = stored(write_corpus(tmp_path / "b", "second", 13), "asterisk-it-10aa69fe718e")
    data = data_of(job_of((first, second), tmp_path), ALONE)
    assert list(data.valid) == ["valid"]
    assert list(data.valid_at_end) == ["valid/festvox-ru", "valid/asterisk-it"]
    sets = data.valid_at_end.items()
    keys = {prefix: {key[:-4] for batch in batches() for key in batch.keys} for prefix, batches in sets}
    assert keys == {"valid/festvox-ru": {"first"}, "valid/asterisk-it": {"second"}}


def test_corpora_of_one_name_keep_their_folders_names_and_one_alone_is_the_whole(tmp_path: Path) -> None:
    first = stored(write_corpus(tmp_path / "a", "first", 30), "voice-0c66e4c3eee3")
    second = stored(write_corpus(tmp_path / "b", "second", 13), "voice-10aa69fe718e")
    both = data_of(job_of((first, second), tmp_path / "x"), ALONE)
    assert list(both.valid_at_end) == ["valid/voice-0c66e4c3eee3", "valid/voice-10aa69fe718e"]
    assert data_of(job_of((first,), tmp_path / "y"), ALONE).valid_at_end == {}
