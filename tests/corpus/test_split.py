"""Which recordings are in the valid split, and that none of them is in train."""

import hashlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import soundfile

from tests.corpus.corpora import SPEAKERS, grow, of_folder, tone
from wavlm.corpus.build import build_corpus
from wavlm.corpus.facts import Amount
from wavlm.corpus.layouts import UNKNOWN_SPEAKER
from wavlm.corpus.manifest import ManifestRow, read_manifest, read_split_rule
from wavlm.corpus.split import split
from wavlm.errors import BadDataError, UsageError
from wavlm.execution.progress import no_progress
from wavlm.specs import HoldOut


def hash_of(name: str) -> float:
    """What docs/decisions/0022 says: the first six bytes of a sha256, as a fraction."""
    return int(hashlib.sha256(f"valid {name}".encode()).hexdigest()[:12], 16) / 16**12


def held(out: Path, by: str = "key") -> set[str]:
    return {getattr(row, by) for row in read_manifest(out) if row.split == "valid"}


def test_no_speaker_is_in_both_splits(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw")
    facts = build_corpus(of_folder(folder, valid_fraction=0.25), tmp_path, tmp_path / "out", no_progress)
    rows = read_manifest(tmp_path / "out")
    valid = {row.speaker for row in rows if row.split == "valid"}
    assert valid == {name for name in SPEAKERS if hash_of(name) < 0.25} == {"cid"}
    assert valid.isdisjoint(row.speaker for row in rows if row.split == "train")
    assert (facts.split_rule, facts.split_below) == ("speakers", 0.25)
    assert facts.valid_utterances == 5


def test_recordings_are_held_out_where_no_speaker_is_below_the_share(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw")
    facts = build_corpus(of_folder(folder, valid_fraction=0.1), tmp_path, tmp_path / "out", no_progress)
    keys = {row.key for row in read_manifest(tmp_path / "out")}
    assert facts.split_rule == "recordings"
    assert held(tmp_path / "out") == {key for key in keys if hash_of(key) < 0.1} != set()


def test_recordings_are_held_out_where_speakers_below_the_share_have_too_much(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", clips=2)
    soundfile.write(folder / "cid/long.flac", tone(9.0, 300), 16000)  # the one speaker below 0.25 has 10 of 13 s
    facts = build_corpus(of_folder(folder, valid_fraction=0.25), tmp_path, tmp_path / "out", no_progress)
    assert facts.split_rule == "recordings"


def test_a_corpus_of_one_speaker_holds_out_whole_recordings_and_says_so(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=20)
    facts = build_corpus(of_folder(folder, valid_fraction=0.3), tmp_path, tmp_path / "out", no_progress)
    assert facts.split_rule == "recordings"
    assert facts.valid_utterances == 3
    metadata = pq.read_schema(tmp_path / "out/manifest.parquet").metadata
    assert metadata[b"split_rule"] == b"recordings"
    assert read_split_rule(tmp_path / "out") == HoldOut(by="recordings", below=0.3)


def test_at_least_the_recording_with_the_lowest_hash_is_held_out(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=20)
    facts = build_corpus(of_folder(folder, valid_fraction=0.01), tmp_path, tmp_path / "out", no_progress)
    lowest = min(read_manifest(tmp_path / "out"), key=lambda row: hash_of(row.key))
    assert held(tmp_path / "out") == {lowest.key}
    assert hash_of(lowest.key) < facts.split_below < hash_of(lowest.key) + 1e-5


def test_the_split_depends_on_names_only(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=20)
    for name in ["tiny", "other"]:
        wanted = of_folder(folder, name=name, valid_fraction=0.3)
        build_corpus(wanted, tmp_path, tmp_path / name, no_progress)
    assert held(tmp_path / "tiny") == held(tmp_path / "other")


def test_a_given_rule_goes_before_the_share(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw")
    rule = HoldOut(by="recordings", below=0.3)
    facts = build_corpus(
        of_folder(folder, valid_fraction=0.25, valid_rule=rule), tmp_path, tmp_path / "out", no_progress
    )
    assert facts.split_rule == "recordings"
    assert len(held(tmp_path / "out", "speaker")) > 1


def test_more_than_half_is_refused_and_so_is_nothing(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=2)
    soundfile.write(folder / "ann/1.flac", tone(5.0, 300), 16000)  # the lowest hash of both
    with pytest.raises(BadDataError, match=r"VALID_TOO_LARGE: 90\.9 % .*; name valid_speakers"):
        build_corpus(of_folder(folder, valid_fraction=0.05), tmp_path, tmp_path / "out", no_progress)
    (folder / "ann/0.flac").unlink()
    with pytest.raises(BadDataError, match="VALID_EMPTY: tiny has 1 recording"):
        build_corpus(of_folder(folder, valid_fraction=0.05), tmp_path, tmp_path / "out", no_progress)


def test_noise_may_be_one_file(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=1)
    wanted = of_folder(folder, role="noise", valid_fraction=0.05)
    assert build_corpus(wanted, tmp_path, tmp_path / "out", no_progress).utterances == 1


def test_listed_speakers_are_held_out_and_unknown_ones_refused(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw")
    wanted = of_folder(folder, valid_speakers=("bob", "dan"))
    build_corpus(wanted, tmp_path, tmp_path / "out", no_progress)
    rows = read_manifest(tmp_path / "out")
    assert {row.speaker for row in rows if row.split == "valid"} == {"bob", "dan"}
    with pytest.raises(UsageError, match=r"SPEAKER.*eve.*ann, bob"):
        build_corpus(of_folder(folder, valid_speakers=("eve",)), tmp_path, tmp_path / "x", no_progress)


def test_a_copy_of_held_out_audio_leaves_train(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw")
    (folder / "ann/copy.flac").write_bytes((folder / "bob/2.flac").read_bytes())
    wanted = of_folder(folder, valid_speakers=("bob",))
    facts = build_corpus(wanted, tmp_path, tmp_path / "out", no_progress)
    split_of = {row.key: row.split for row in read_manifest(tmp_path / "out")}
    assert "ann__copy" not in split_of
    assert split_of["bob__2"] == "valid"
    assert facts.excluded == {"COPY_OF_VALID": Amount(recordings=1, microseconds=500_000)}


def test_the_account_of_a_corpus_adds_up(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw")
    (folder / "ann/copy.flac").write_bytes((folder / "bob/2.flac").read_bytes())
    soundfile.write(folder / "ann/odd.wav", tone(1 / 3, 200)[:5333], 16000)
    facts = build_corpus(of_folder(folder, valid_speakers=("bob",)), tmp_path, tmp_path / "out", no_progress)
    parts = [facts.train, facts.valid, *facts.excluded.values()]
    assert facts.found.recordings == sum(part.recordings for part in parts) == 22
    assert facts.found.microseconds == sum(part.microseconds for part in parts) == 21 * 500_000 + 333_312


def test_the_split_of_the_layout_is_honoured(tmp_path: Path) -> None:
    rows = [row_of(key, speaker) for key in "abcd" for speaker in ("ann", "bob")]
    made = split(rows, of_folder(tmp_path, valid_fraction=0.25), frozenset({"b-ann"}))
    assert (made.rule, [row.key for row in made.rows if row.split == "valid"]) == ("layout", ["b-ann"])


def test_an_unknown_speaker_counts_as_many(tmp_path: Path) -> None:
    rows = [row_of(str(number), UNKNOWN_SPEAKER) for number in range(1000)]
    made = split(rows, of_folder(tmp_path, valid_fraction=0.1))
    valid = [row.key for row in made.rows if row.split == "valid"]
    assert made.rule == "recordings"
    assert set(valid) == {row.key for row in rows if hash_of(row.key) < 0.1}
    assert 70 < len(valid) < 130


def row_of(name: str, speaker: str) -> ManifestRow:
    key = f"{name}-{speaker}"
    return ManifestRow(key, f"{key}.wav", speaker, "train", None, None, 32044, key, 16000, 16000)
