"""The data of a job: what is validated while it trains, and what once at the end."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.staircases import job_of, write_corpus
from wavlm.engine.ranks import Ranks
from wavlm.execution.job import LabelledShards
from wavlm.labels.flat import digest_footers
from wavlm.loader.epochs import SamplerState
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


def test_each_of_several_languages_is_validated_at_the_end(tmp_path: Path) -> None:
    """Utterance n of a corpus has language n mod 3; the six first ones are held out."""
    first = write_corpus(tmp_path / "a", "first", 30, languages=("en", "zh/TW", ""))
    second = write_corpus(tmp_path / "b", "second", 13, languages=("en",))
    data = data_of(job_of((first, second), tmp_path), ALONE)
    sets = {prefix: batches for prefix, batches in data.valid_at_end.items() if prefix.startswith("valid_language/")}
    keys = {prefix: sorted(key for batch in batches() for key in batch.keys) for prefix, batches in sets.items()}
    english = [*(f"first-{n:03d}" for n in (0, 3)), *(f"second-{n:03d}" for n in range(6))]
    names = {"en": english, "zh_TW-fc7164": ["first-001", "first-004"], "unknown": ["first-002", "first-005"]}
    assert keys == {f"valid_language/{name}": found for name, found in names.items()}
    assert data.heard[-3:] == ("language/en", "language/unknown", "language/zh_TW-fc7164")


def test_languages_behind_the_two_hundred_with_most_speech_are_validated_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wavlm.loader.groups.MOST_LANGUAGES", 2)
    corpus = write_corpus(tmp_path, "first", 10, valid=8, languages=("a", "b", "a", "c", "a", "d", "a", "b"))
    data = data_of(job_of((corpus,), tmp_path), ALONE)
    counts = {prefix: sum(len(batch.keys) for batch in batches()) for prefix, batches in data.valid_at_end.items()}
    assert counts == {"valid_language/a": 4, "valid_language/b": 2, "valid_language/others": 2}


def test_corpora_of_one_name_keep_their_folders_names_and_one_alone_is_the_whole(tmp_path: Path) -> None:
    first = stored(write_corpus(tmp_path / "a", "first", 30), "voice-0c66e4c3eee3")
    second = stored(write_corpus(tmp_path / "b", "second", 13), "voice-10aa69fe718e")
    both = data_of(job_of((first, second), tmp_path / "x"), ALONE)
    assert list(both.valid_at_end) == ["valid/voice-0c66e4c3eee3", "valid/voice-10aa69fe718e"]
    assert data_of(job_of((first,), tmp_path / "y"), ALONE).valid_at_end == {}


def test_speech_without_labels_is_cropped_and_masked_as_with_them(tmp_path: Path) -> None:
    """An objective that reads no labels gets the same batches from shards alone; its labels are all 0."""
    corpus = write_corpus(tmp_path / "a", "first", 30)
    job = job_of((corpus,), tmp_path / "x")
    without = data_of(job.model_copy(update={"data": (LabelledShards(shards=corpus.shards),)}), ALONE)
    with_labels = data_of(job, ALONE)
    both = [(data.train(SamplerState()), data.valid["valid"]()) for data in (with_labels, without)]
    for ours, theirs in zip(*both, strict=True):
        one, other = (next(batches).to(ALONE.device) for batches in (ours, theirs))
        assert one.keys == other.keys
        assert torch.equal(one.waveforms, other.waveforms)
        assert torch.equal(one.mask, other.mask)
        assert one.labels.any()
        assert other.labels.shape == one.labels.shape
        assert not other.labels.any()
    assert without.fingerprint != with_labels.fingerprint
    more = write_corpus(tmp_path / "b", "first", 31)
    other = data_of(job.model_copy(update={"data": (LabelledShards(shards=more.shards),)}), ALONE)
    assert other.fingerprint != without.fingerprint


def test_labels_with_another_footer_are_other_labels(tmp_path: Path) -> None:
    """A Parquet file ends with its metadata, in which sizes and digests stand: its last bytes tell."""
    digests = set()
    for number, last in enumerate((b"a", b"b", b"b")):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "train-000000.parquet").write_bytes(bytes(20_000) + last)
        digests.add(digest_footers(folder))
    assert len(digests) == 2
