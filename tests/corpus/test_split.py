"""Which recordings are in the valid split, and that none of them is in train."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.corpus.corpora import grow, of_folder
from wavlm.corpus.build import build_corpus
from wavlm.corpus.manifest import read_manifest
from wavlm.errors import UsageError
from wavlm.execution.progress import no_progress


def test_no_speaker_is_in_both_splits(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw")
    facts = build_corpus(of_folder(folder, valid_fraction=0.3), tmp_path, tmp_path / "out", no_progress)
    rows = read_manifest(tmp_path / "out")
    held = {row.speaker for row in rows if row.split == "valid"}
    assert len(held) == 1
    assert held.isdisjoint(row.speaker for row in rows if row.split == "train")
    assert facts.split_rule == "speakers"
    assert facts.valid_utterances == 5


def test_a_share_smaller_than_any_speaker_still_holds_one_out(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw")
    build_corpus(of_folder(folder, valid_fraction=0.01), tmp_path, tmp_path / "out", no_progress)
    rows = read_manifest(tmp_path / "out")
    assert len({row.speaker for row in rows if row.split == "valid"}) == 1


def test_a_corpus_of_one_speaker_holds_out_whole_recordings_and_says_so(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=20)
    facts = build_corpus(of_folder(folder, valid_fraction=0.2), tmp_path, tmp_path / "out", no_progress)
    assert facts.split_rule == "recordings"
    assert facts.valid_utterances == 4
    metadata = pq.read_schema(tmp_path / "out/manifest.parquet").metadata
    assert metadata[b"split_rule"] == b"recordings"


def test_the_draw_depends_on_the_name_of_the_corpus_only(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=20)
    held = []
    for number, name in enumerate(["tiny", "tiny", "other"]):
        out = tmp_path / str(number)
        build_corpus(of_folder(folder, name=name, valid_fraction=0.2), tmp_path, out, no_progress)
        held.append({row.key for row in read_manifest(out) if row.split == "valid"})
    assert held[0] == held[1] != held[2]


def test_listed_speakers_are_held_out_and_unknown_ones_refused(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw")
    wanted = of_folder(folder, valid_speakers=("bob", "dan"))
    build_corpus(wanted, tmp_path, tmp_path / "out", no_progress)
    rows = read_manifest(tmp_path / "out")
    assert {row.speaker for row in rows if row.split == "valid"} == {"bob", "dan"}
    with pytest.raises(UsageError, match=r"SPEAKER.*eve.*ann, bob"):
        build_corpus(of_folder(folder, valid_speakers=("eve",)), tmp_path, tmp_path / "x", no_progress)


def test_the_same_audio_never_lies_in_both_splits(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw")
    (folder / "bob/copy.flac").write_bytes((folder / "ann/2.flac").read_bytes())
    wanted = of_folder(folder, valid_speakers=("bob",))
    facts = build_corpus(wanted, tmp_path, tmp_path / "out", no_progress)
    split_of = {row.key: row.split for row in read_manifest(tmp_path / "out")}
    assert split_of["bob__copy"] == "train"
    assert split_of["bob__2"] == "valid"
    assert facts.duplicate_contents == 1
    assert facts.moved_to_train == 1
