"""Simulated conversations as a stage: the corpus that is packed is the folder that is listened to, byte by byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.mixing.test_conversations import digests, folders, make_spec, read, turns_of
from wavlm.evaluation.labelled import LabelledCorpus
from wavlm.mixing.conversations import stored
from wavlm.mixing.conversations.build import build_conversations
from wavlm.mixing.conversations.places import corpus_of, shards_of
from wavlm.mixing.conversations.stored import build_stored
from wavlm.pipeline.artifacts import Simulation
from wavlm.pipeline.sealing import clear_leftovers
from wavlm.shards import Reader

SPEC = make_spec(train=5, dev=2, dev_speakers=0.3, speakers=(2, 2), utterances=(1, 2), tracks=True)


def test_the_packed_corpus_has_the_samples_and_turns_of_the_folder_and_no_audio_twice(tmp_path: Path) -> None:
    sources = folders(tmp_path, noise=True)
    out, plain = tmp_path / "stored", tmp_path / "plain"
    facts = build_stored(SPEC, sources, out)
    assert facts == build_conversations(SPEC, sources, plain)
    clear_leftovers(out, Simulation.files)  # every file is one of the stage
    assert not list(out.glob("talks/corpus/**/*.flac"))
    assert digests(out / "talks") == {
        name: digest
        for name, digest in digests(plain).items()
        if not name.startswith(("corpus/train/", "corpus/dev/")) and name not in (".begun", "talks.yaml")
    }
    corpus = LabelledCorpus("talks", corpus_of(out), shards_of(out), 0)
    reader = Reader(shards_of(out))
    rows = {row.key: row for row in corpus.rows}
    heard = {path.stem: read(path) for path in (plain / "corpus").glob("*/*.flac")}
    assert len(rows) == len(heard) == 7
    turns = turns_of(plain, "train") | turns_of(plain, "dev")
    for row in rows.values():
        name = row.key.partition("__")[2]
        samples = np.rint(reader.read(row.take.row) * 32768).astype(np.int64)
        assert np.array_equal(samples, heard[name]), name
        assert row.part == ("dev" if "-dev-" in name else "train")
        told, right = sorted(row.target["turns"]), sorted(turns[name])  # type: ignore[type-var, arg-type]
        assert [speaker for *_, speaker in told] == [speaker for *_, speaker in right]  # type: ignore[misc]
        assert np.allclose([it[:2] for it in told], [it[:2] for it in right], atol=1e-6)  # type: ignore[index]


def test_a_stop_while_packing_and_the_number_of_workers_change_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = folders(tmp_path)
    build_stored(SPEC, sources, tmp_path / "whole")
    original, tried = stored.build_shards, []

    def stop(*arguments: object) -> object:
        tried.append(1)
        if len(tried) == 1:
            raise KeyboardInterrupt
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(stored, "build_shards", stop)
    with pytest.raises(KeyboardInterrupt):
        build_stored(SPEC, sources, tmp_path / "stopped")
    build_stored(SPEC, sources, tmp_path / "stopped", workers=2)
    assert len(tried) == 2
    assert build_stored(SPEC, sources, tmp_path / "stopped").train  # a kill before the seal
    assert len(tried) == 2
    assert digests(tmp_path / "stopped") == digests(tmp_path / "whole")
