"""How files are arranged is found out by what is in them, and what may be two things is told."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from wavlm.corpus.layouts import read_layout
from wavlm.errors import CodedError
from wavlm.execution.progress import no_progress
from wavlm.pipeline.init.corpus_advice import hold_out
from wavlm.pipeline.init.detect import detect, detect_manifest
from wavlm.pipeline.init.look import Question, look_at

RATE_HZ = 16000


def clip(seconds: float, seed: int = 0) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(seed).uniform(-0.1, 0.1, round(seconds * RATE_HZ))
    soundfile.write(file, noise, RATE_HZ, format="FLAC")
    return file.getvalue()


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """Three recordings of two seconds, below `audio`."""
    for name in ("a", "b", "c"):
        (tmp_path / "audio").mkdir(exist_ok=True)
        (tmp_path / "audio" / f"{name}.flac").write_bytes(clip(2.0))
    return tmp_path


def write(path: Path, *lines: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))


def write_kaldi(root: Path) -> None:
    write(root / "data/train/wav.scp", "r1 audio/a.flac", "r2 audio/b.flac")
    write(root / "data/train/segments", "u1 r1 0.0 0.5", "u2 r1 1.0 1.5", "u3 r2 0.25 1.75")
    write(root / "data/train/utt2spk", "u1 ann", "u2 ann", "u3 ben")
    write(root / "data/dev/wav.scp", "r3 audio/c.flac")


def write_nemo(root: Path) -> None:
    write(root / "train_manifest.json", {"audio_filepath": "audio/a.flac", "duration": 2.0, "text": "hello"})


def write_fairseq(root: Path) -> None:
    write(root / "train.tsv", str(root / "audio"), "a.flac\t32000", "b.flac\t32000")
    write(root / "valid.tsv", str(root / "audio"), "c.flac\t32000")


def write_lhotse(root: Path) -> None:
    def recording(name: str) -> dict[str, object]:
        source = {"type": "file", "channels": [0], "source": f"audio/{name}.flac"}
        return {"id": name, "sources": [source], "sampling_rate": RATE_HZ, "num_samples": 32000, "duration": 2.0}

    write(root / "recordings.jsonl", recording("a"), recording("b"))
    said = {"id": "s", "recording_id": "a", "start": 0.5, "duration": 1.0, "channel": 0, "speaker": "ann"}
    write(root / "supervisions.jsonl", said)


def write_espnet(root: Path) -> None:
    write(root / "manifest.tsv", "u1\taudio/a.flac\thello", "u2\taudio/b.flac\tbye")


def write_table(root: Path) -> None:
    write(root / "clips.csv", "file,speaker,sentence", 'audio/a.flac,ann,"hello, you"', "audio/b.flac,ben,bye")


def write_parquet(root: Path) -> None:
    table = pa.table({"path": ["audio/a.flac", "audio/b.flac"], "client_id": ["x", "y"], "locale": ["de", "fr"]})
    pq.write_table(table, root / "all.parquet")


@pytest.mark.parametrize(
    ("fill", "kind", "recordings", "seconds"),
    [
        (write_kaldi, "kaldi", 4, 0.5 + 0.5 + 1.5 + 2),
        (write_nemo, "nemo", 1, 2),
        (write_fairseq, "fairseq", 3, 6),
        (write_lhotse, "lhotse", 1, 1),
        (write_espnet, "espnet", 2, 4),
        (write_table, "table", 2, 4),
        (write_parquet, "table", 2, 4),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_manifests_are_found_and_read(
    fill: Callable[[Path], None], kind: str, recordings: int, seconds: float, audio: Path
) -> None:
    fill(audio)
    found = look_at(Question(audio), 1, no_progress, 0)
    assert found.detected.layout.type == kind
    assert len(found.rows) == recordings
    assert found.hours * 3600 == pytest.approx(seconds)


def test_where_the_paths_of_kaldi_start_is_found(audio: Path) -> None:
    write_kaldi(audio)
    found = detect_manifest(audio / "data" / "train", "wav.scp")
    assert found.layout.model_dump()["audio_root"] == "../.."
    assert {item.speaker for item in read_layout(found.layout, audio / "data" / "train")} == {"ann", "ben"}


def test_audio_is_read_where_the_paths_of_a_manifest_start(audio: Path) -> None:
    write_kaldi(audio)
    found = look_at(Question(audio / "data" / "train", "wav.scp"), 1, no_progress, 0)
    assert found.hours * 3600 == pytest.approx(0.5 + 0.5 + 1.5)


def test_a_start_of_paths_that_is_typed_is_seen_from_the_present_folder(
    audio: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(audio / "lists" / "l.jsonl", {"audio_filepath": "a.flac"})
    monkeypatch.chdir(audio)
    found = look_at(Question(Path("lists"), "l.jsonl", audio_root="audio"), 1, no_progress, 0)
    assert found.detected.layout.model_dump()["audio_root"] == "../audio"
    assert len(found.rows) == 1


def test_a_manifest_with_dev_in_its_name_is_held_out_and_one_with_test_is_left_out(audio: Path) -> None:
    write_kaldi(audio)
    write(audio / "data/test/wav.scp", "r9 audio/c.flac")
    found = detect(audio)
    assert found.layout.model_dump()["valid"] == ("data/dev/wav.scp",)
    assert "data/test/wav.scp" in found.remarks[0]


def test_columns_are_taken_by_their_names(audio: Path) -> None:
    write_parquet(audio)
    fields = detect(audio).layout.model_dump()
    assert (fields["path_column"], fields["speaker_column"], fields["language_column"]) == (
        "path",
        "client_id",
        "locale",
    )


def write_two_lists(root: Path) -> None:
    for name in ("validated", "other"):
        write(root / f"{name}.tsv", "path\tclient_id", "audio/a.flac\tx")


def write_two_kinds(root: Path) -> None:
    write_nemo(root)
    write_table(root)


def write_cuts_and_recordings(root: Path) -> None:
    write_lhotse(root)
    row = json.loads((root / "recordings.jsonl").read_text().splitlines()[0])
    cut = {"id": "c", "start": 0, "duration": 2, "channel": 0, "recording": row, "supervisions": [], "type": "MonoCut"}
    write(root / "cuts.jsonl", cut)


def write_tar_beside_audio(root: Path) -> None:
    with tarfile.open(root / "more.tar", "w") as tar:
        tar.add(root / "audio" / "a.flac", "x.flac")


@pytest.mark.parametrize(
    "fill", [write_two_lists, write_two_kinds, write_cuts_and_recordings, write_tar_beside_audio],
    ids=lambda value: value.__name__,
)  # fmt: skip
def test_what_may_be_read_in_several_ways_is_told(fill: Callable[[Path], None], audio: Path) -> None:
    fill(audio)
    with pytest.raises(CodedError) as error:
        detect(audio)
    assert error.value.code == "LAYOUT_AMBIGUOUS"
    assert "wavlm init MANIFEST" in error.value.message or "--layout" in error.value.message


def test_the_manifest_that_is_named_is_taken(audio: Path) -> None:
    write_two_lists(audio)
    found = detect_manifest(audio, "validated.tsv")
    assert found.layout.model_dump()["manifests"] == ("validated.tsv",)


def test_parts_that_differ_in_numbers_are_one_list(audio: Path) -> None:
    write(audio / "list.000.jsonl", {"audio_filepath": "audio/a.flac"})
    write(audio / "list.001.jsonl", {"audio_filepath": "audio/b.flac"})
    assert len(detect(audio).layout.model_dump()["manifests"]) == 2


def test_a_table_that_names_no_audio_is_no_manifest(audio: Path) -> None:
    write(audio / "speakers.tsv", "speaker\tage", "ann\t30")
    write(audio / "gone.csv", "path,text", "elsewhere/z.flac,hello")
    assert detect(audio).layout.type == "generic"


def test_a_layout_that_is_asked_for_goes_first(audio: Path) -> None:
    write_nemo(audio)
    assert detect(audio, "generic").layout.type == "generic"
    with pytest.raises(CodedError, match="not arranged as librispeech says") as error:
        detect(audio, "librispeech")
    assert error.value.code == "NOTHING_FITS"


@pytest.mark.parametrize("name", ["notes.txt", "audio/a.flac"])
def test_a_file_that_is_no_manifest_is_refused(name: str, audio: Path) -> None:
    write(audio / "notes.txt", "hello")
    with pytest.raises(CodedError) as error:
        detect_manifest(audio, name)
    assert error.value.code == "MANIFEST_UNKNOWN"


def test_a_manifest_whose_audio_is_elsewhere_asks_where_paths_start(tmp_path: Path) -> None:
    write(tmp_path / "list.jsonl", {"audio_filepath": "far/away.wav"})
    with pytest.raises(CodedError, match=r"far/away\.wav; in .*--audio-root"):
        detect(tmp_path)


def test_tars_are_looked_into_and_the_rest_is_estimated(tmp_path: Path) -> None:
    for number in range(3):
        with tarfile.open(tmp_path / f"train-{number}.tar", "w") as tar:
            for item in range(4):
                for name, content in (("flac", clip(1.0, item)), ("json", b'{"speaker": "ann"}')):
                    member = tarfile.TarInfo(f"s{item}.{name}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    found = look_at(Question(tmp_path), 1, no_progress, 0)
    assert found.detected.layout.type == "webdataset"
    assert (len(found.rows), found.scale) == (12, 1.0)
    assert found.speakers == 1


def test_only_some_of_many_tars_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wavlm.pipeline.init.containers.ENOUGH_BYTES", 1)
    for number in range(4):
        with tarfile.open(tmp_path / f"{number}.tar", "w") as tar:
            content = clip(1.0, number)
            member = tarfile.TarInfo("a.flac")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    found = look_at(Question(tmp_path), 1, no_progress, 0)
    assert len(found.rows) == 1
    assert found.hours * 3600 == pytest.approx(4.0, rel=0.01)
    assert found.is_estimated


def test_rows_of_datasets_are_looked_into(tmp_path: Path) -> None:
    rows = [{"bytes": clip(1.0, item), "path": f"{item}.flac"} for item in range(3)]
    pq.write_table(pa.table({"audio": rows, "speaker_id": ["a", "b", "c"]}), tmp_path / "train-00000.parquet")
    found = look_at(Question(tmp_path), 1, no_progress, 0)
    assert found.detected.layout.type == "huggingface"
    assert found.speakers == 3
    assert found.hours * 3600 == pytest.approx(3.0)


def test_all_of_many_containers_are_read(tmp_path: Path) -> None:
    """More than are looked into of files that turn out to be something else."""
    with tarfile.open(tmp_path / "0000.tar", "w") as tar:
        member = tarfile.TarInfo("a.flac")
        member.size = len(clip(0.1))
        tar.addfile(member, io.BytesIO(clip(0.1)))
    for number in range(1, 450):
        (tmp_path / f"{number:04d}.tar").hardlink_to(tmp_path / "0000.tar")
    layout = detect(tmp_path).layout
    assert layout.type == "webdataset"
    assert len(layout.tars) == 450


def test_a_manifest_beside_many_files_of_another_ending_is_found(audio: Path) -> None:
    for number in range(450):
        write(audio / "about" / f"{number:04d}.json", {"of": number})
    write(audio / "train.jsonl", {"audio_filepath": "audio/a.flac", "duration": 2.0})
    assert detect(audio).layout.type == "nemo"


def test_the_first_line_of_fairseq_may_start_in_a_folder_beside_the_manifest(tmp_path: Path) -> None:
    write(tmp_path / "man/train.tsv", "audio", "a.flac\t32000", "b.flac\t32000")
    for name in ("a", "b"):
        (tmp_path / "sp/audio").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"sp/audio/{name}.flac").write_bytes(clip(2.0))
    found = detect(tmp_path)
    assert len(read_layout(found.layout, tmp_path).recordings) == 2


def test_speech_of_a_test_split_alone_is_refused(audio: Path) -> None:
    write(audio / "all.csv", "path,split", "audio/a.flac,test", "audio/b.flac,test")
    found = look_at(Question.of(audio), 1, no_progress)
    with pytest.raises(CodedError, match="CORPUS_EMPTY: all 2 recordings of mine are in its publisher's test split"):
        hold_out(found, "mine")
