"""The shards stage writes tars, an index and a list of the recordings that it does not use."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset

from tests.shards.corpora import SPEC, Clip, bytes_of, encode_audio, noise, noise_clip, write_corpus
from wavlm.errors import BadDataError
from wavlm.execution.progress import no_progress
from wavlm.shards import Reader, build_shards, read_index, stream, verify_shard
from wavlm.shards.build import TooManyRejectsError
from wavlm.shards.rejects import read_rejects
from wavlm.specs import ShardSpec


def make_mixed_clips() -> list[Clip]:
    """Four speakers, two splits, recordings to cut, to join and to exclude; they need several tars."""
    clips = [noise_clip(f"anna-{number}", 0.7 + 0.3 * number) for number in range(8)]
    clips += [noise_clip(f"ben-{number}", 0.4 * number + 0.1, "ben") for number in range(8)]
    clips += [noise_clip("eve-0", 7.0, "eve", "valid"), noise_clip("eve-1", 1.0, "eve", "valid")]
    return [*clips, noise_clip("joe-0", 0.2, "joe")]


def write_mixed_corpus(folder: Path) -> Path:
    return write_corpus(folder, make_mixed_clips())


JOINING = SPEC.model_copy(update={"join_seconds": 2.0, "join_gap_seconds": 0.25})


def build_into(corpus: Path, out: Path, spec: ShardSpec = SPEC, workers: int = 1) -> Path:
    build_shards(spec, corpus, out, workers, no_progress)
    return out


def test_every_utterance_is_where_the_index_says(tmp_path: Path) -> None:
    out = build_into(write_mixed_corpus(tmp_path / "corpus"), tmp_path / "out", JOINING)
    index, reader = read_index(out), Reader(out)
    assert len({*index.shards}) >= 4
    streamed = [utterance for shard in sorted(out.glob("*.tar")) for utterance in stream(shard)]
    assert [utterance.key for utterance in streamed] == list(index.keys)
    for row, utterance in enumerate(streamed):
        np.testing.assert_array_equal(reader.read(row), utterance.waveform)
        np.testing.assert_array_equal(reader.read(row), utterance.waveform)
        assert len(utterance.waveform) == index.samples[row]
        assert utterance.speaker == index.speakers[row]
        assert utterance.split == index.splits[row]
        assert index.shards[row].startswith(utterance.split)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset's own
def test_any_webdataset_or_tar_reader_opens_a_shard(tmp_path: Path) -> None:
    out = build_into(write_mixed_corpus(tmp_path / "corpus"), tmp_path / "out")
    shard = out / "train-000000.tar"
    keys = [key for key, name in zip(*columns(out, "key", "shard"), strict=True) if name == shard.name]
    samples = list(webdataset.WebDataset(str(shard), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == keys
    assert all(sample["flac"][:4] == b"fLaC" for sample in samples)
    assert [json.loads(sample["json"])["key"] for sample in samples] == keys
    with tarfile.open(shard) as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == [f"{key}.{kind}" for key in keys for kind in ("flac", "json")]
    assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in members} == {(0, 0, 0, "wavlm", 0o644)}


def columns(out: Path, *names: str) -> list[list[object]]:
    table = pq.read_table(out / "index.parquet")
    return [table[name].to_pylist() for name in names]


@pytest.mark.slow
def test_bytes_depend_neither_on_workers_nor_on_what_ran_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wavlm.shards.build.SECONDS_PER_WORKER", 1)  # so that two workers are used
    corpus = write_mixed_corpus(tmp_path / "corpus")
    alone = build_into(corpus, tmp_path / "alone", JOINING)
    wide = build_into(corpus, tmp_path / "wide", JOINING, workers=2)
    assert bytes_of(wide) == bytes_of(alone)
    before = bytes_of(alone)
    times = {path: path.stat().st_mtime_ns for path in alone.glob("*.tar")}
    assert bytes_of(build_into(corpus, alone, JOINING)) == before
    assert {path: path.stat().st_mtime_ns for path in alone.glob("*.tar")} == times


def test_other_settings_or_other_files_in_the_same_folder_are_made_again(tmp_path: Path) -> None:
    corpus = write_mixed_corpus(tmp_path / "corpus")
    out = build_into(corpus, tmp_path / "out", JOINING)
    assert bytes_of(build_into(corpus, out)) == bytes_of(build_into(corpus, tmp_path / "fresh"))


def test_tars_of_recordings_that_the_corpus_no_longer_has_are_removed(tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"shard_megabytes": 0.05})
    clips = [noise_clip(f"k{number}", 2.0) for number in range(4)]
    build_into(write_corpus(tmp_path / "more", clips), tmp_path / "again", spec)
    fewer = write_corpus(tmp_path / "fewer", clips[:2])
    build_into(fewer, tmp_path / "again", spec)
    build_into(fewer, tmp_path / "whole", spec)
    assert bytes_of(tmp_path / "again") == bytes_of(tmp_path / "whole")


def test_a_tar_that_is_cut_short_is_made_again(tmp_path: Path) -> None:
    corpus = write_mixed_corpus(tmp_path / "corpus")
    out = build_into(corpus, tmp_path / "out")
    before = bytes_of(out)
    (out / "train-000001.tar").write_bytes(before["train-000001.tar"][:5120])
    assert bytes_of(build_into(corpus, out)) == before


def test_every_recording_is_used_excluded_or_rejected_and_only_once(tmp_path: Path) -> None:
    broken = [
        Clip("broken-0", b"no audio", speaker="ben"),
        Clip("broken-1", encode_audio(np.zeros(16000)), speaker="eve"),
    ]
    clips = [*make_mixed_clips(), *broken]
    keys = {clip.key for clip in clips}
    corpus = write_corpus(tmp_path / "corpus", clips)
    spec = JOINING.model_copy(update={"max_rejected": 0.5})
    out = tmp_path / "out"
    facts = build_shards(spec, corpus, out, 1, no_progress)
    used = [piece.key for shard in out.glob("*.tar") for utterance in stream(shard) for piece in utterance.pieces]
    refused = {reject.key for reject in read_rejects(out)}
    assert {*used} | refused == keys
    assert not {*used} & refused
    assert facts.recordings == len(keys)
    assert facts.recordings_used == len({*used})
    assert facts.rejected == {"AUDIO_SILENT": 1, "AUDIO_UNREADABLE": 1}
    assert facts.excluded == {"TOO_SHORT": 1}


POISON = {
    "AUDIO_UNREADABLE": b"<html>",
    "AUDIO_EMPTY": encode_audio(np.zeros(0)),
    "AUDIO_TRUNCATED": encode_audio(noise(1, 1))[:9000],
    "AUDIO_NONFINITE": encode_audio(np.where(np.arange(16000) == 5, np.nan, 0.1), subtype="FLOAT"),
    "AUDIO_RANGE": encode_audio(noise(1, 2) * 37, subtype="FLOAT"),
    "AUDIO_SILENT": encode_audio(np.zeros(16000)),
    "AUDIO_CHANNELS": encode_audio(np.tile(noise(0.1, 3)[:, None], 9)),
    "AUDIO_RATE": encode_audio(noise(0.1, 4), rate_hz=1000),
    "TOO_SHORT": encode_audio(noise(0.1, 5)),
}


def test_bad_recordings_are_listed_with_their_reason_and_no_good_one_is_lost(
    tmp_path: Path,
) -> None:
    good = [noise_clip(f"good-{number}", 1.0 + number / 10) for number in range(10)]
    bad = [Clip(f"bad-{reason}", blob) for reason, blob in POISON.items()]
    mingled = [clip for pair in zip(good, bad, strict=False) for clip in pair] + good[len(bad) :]
    corpus = write_corpus(tmp_path / "corpus", mingled)
    out = build_into(corpus, tmp_path / "out", SPEC.model_copy(update={"max_rejected": 0.5}))
    assert sorted(read_index(out).keys) == sorted(clip.key for clip in good)
    rejects = read_rejects(out)
    assert {reject.key: reject.reason for reject in rejects} == {f"bad-{reason}": reason for reason in POISON}
    assert all(reject.detail for reject in rejects)


def test_more_rejects_than_allowed_stop_the_stage_with_counts_and_a_list(tmp_path: Path) -> None:
    clips = [noise_clip(f"good-{number}", 1.0) for number in range(8)]
    clips += [Clip("bad-0", b""), Clip("bad-1", b""), Clip("tiny", encode_audio(noise(0.1, 1)))]
    corpus = write_corpus(tmp_path / "corpus", clips)
    enough = SPEC.model_copy(update={"max_rejected": 2 / 11})
    build_into(corpus, tmp_path / "enough", enough)
    with pytest.raises(TooManyRejectsError, match=r"2 of 11 recordings.*2 AUDIO_UNREADABLE") as caught:
        build_into(corpus, tmp_path / "out", SPEC.model_copy(update={"max_rejected": 0.15}))
    assert (caught.value.code, caught.value.exit_code) == ("TOO_MANY_REJECTS", 65)
    listed = pq.read_table(tmp_path / "out" / "rejects.parquet")["key"].to_pylist()
    assert sorted(listed) == ["bad-0", "bad-1", "tiny"]
    assert not (tmp_path / "out" / "shards.json").exists()


def test_a_part_of_bad_recordings_alone_gives_no_tar_and_leaves_its_number_free(
    tmp_path: Path,
) -> None:
    clips = [noise_clip(f"a-{n}", 3.0) for n in range(2)]
    clips += [Clip(f"b-{n}", bytes(60_000), sample_rate_hz=16000, num_samples=48000) for n in range(2)]
    clips += [noise_clip(f"c-{n}", 3.0) for n in range(2)]
    spec = SPEC.model_copy(update={"max_rejected": 0.5, "shard_megabytes": 0.12})
    out = build_into(write_corpus(tmp_path / "corpus", clips), tmp_path / "out", spec)
    assert sorted(path.name for path in out.glob("*.tar")) == [
        "train-000000.tar",
        "train-000002.tar",
    ]
    assert sorted(json.loads((out / "shards.json").read_text())) == [
        "train-000000.tar",
        "train-000002.tar",
    ]


def test_a_corpus_that_gives_no_utterance_is_refused_with_the_reasons(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", [Clip("tiny", encode_audio(noise(0.1, 1)))])
    out = tmp_path / "out"
    with pytest.raises(BadDataError, match=r"SHARDS_EMPTY: .*1 TOO_SHORT.*rejects\.parquet; lower"):
        build_into(corpus, out)
    assert len(read_index(out)) == 0
    assert json.loads((out / "shards.json").read_text()) == {}


@pytest.mark.parametrize("damage", ["other bytes", "gone"])
def test_a_file_that_is_not_what_the_manifest_says_stops_the_stage(tmp_path: Path, damage: str) -> None:
    corpus = write_corpus(tmp_path / "corpus", [noise_clip("a", 1.0), noise_clip("b", 1.0)])
    if damage == "gone":
        (corpus / "audio" / "b.wav").unlink()
    else:
        (corpus / "audio" / "b.wav").write_bytes(encode_audio(noise(1, 9)))
    with pytest.raises(BadDataError, match=r"FILE_CHANGED.*recording b at .*b\.wav"):
        build_into(corpus, tmp_path / "out")


def test_long_keys_survive_every_reader(tmp_path: Path) -> None:
    key = "deep__" * 33 + "xy"
    assert len(key) == 200
    corpus = write_corpus(tmp_path / "corpus", [noise_clip(key, 4.0), noise_clip("b", 1.0)])
    out = build_into(corpus, tmp_path / "out")
    keys = [utterance.key for utterance in stream(out / "train-000000.tar")]
    assert keys == [f"{key}-p000", f"{key}-p001", "b"]
    for row in range(len(read_index(out))):
        Reader(out).read(row)


def test_keys_that_would_merge_in_a_tar_are_refused_before_any_work(tmp_path: Path) -> None:
    for key, code in (("a.b", "KEY_BAD"), ("x" * 201, "KEY_BAD")):
        corpus = write_corpus(tmp_path / key, [noise_clip(key, 1.0)])
        with pytest.raises(BadDataError, match=code):
            build_into(corpus, tmp_path / "out")
    corpus = write_corpus(tmp_path / "twice", [noise_clip("a", 1.0), noise_clip("a", 1.0)])
    with pytest.raises(BadDataError, match="DUP_KEY"):
        build_into(corpus, tmp_path / "out")
    clips = [noise_clip("a", 4.0), noise_clip("a-p000", 1.0)]
    with pytest.raises(BadDataError, match="DUP_KEY: a-p000"):
        build_into(write_corpus(tmp_path / "cut", clips), tmp_path / "cut-out")


def test_a_recording_that_comes_twice_is_noted_and_more_so_across_the_splits(
    tmp_path: Path,
) -> None:
    blob = encode_audio(noise(1.0, 1))
    clips = [Clip("a", blob), Clip("b", blob), Clip("c", blob, split="valid"), noise_clip("d", 1.0)]
    corpus = write_corpus(tmp_path / "corpus", clips)
    facts = build_shards(SPEC, corpus, tmp_path / "out", 1, no_progress)
    assert (facts.repeated_recordings, facts.in_both_splits) == (2, 1)


def test_facts_and_shards_json_say_what_is_there(tmp_path: Path) -> None:
    corpus = write_mixed_corpus(tmp_path / "corpus")
    facts = build_shards(SPEC, corpus, tmp_path / "out", 1, no_progress)
    index = read_index(tmp_path / "out")
    assert facts.utterances == len(index)
    assert facts.hours == pytest.approx(index.samples.sum() / 16000 / 3600, abs=1e-6)
    assert facts.valid_hours == pytest.approx(8.0 / 3600, abs=1e-6)
    assert facts.speakers == 3  # the only recording of joe is too short
    tars = sorted((tmp_path / "out").glob("*.tar"))
    assert facts.shards == len(tars)
    assert facts.bytes == sum(path.stat().st_size for path in tars)
    assert sum(verify_shard(shard) for shard in tars) == len(index)
