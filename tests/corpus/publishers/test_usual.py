"""Corpora of one utterance per file in their publishers' layouts, packed as their publishers pack them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.corpus.publishers.archive_server import serving_archives
from tests.corpus.publishers.fetching import SHIPPED, fetch, from_server
from tests.corpus.publishers.packing import encode, parquet, tar, zipped
from wavlm.corpus.build import build_corpus
from wavlm.corpus.download import Credentials
from wavlm.corpus.download import fetch as fetch_archive
from wavlm.errors import BadDataError, UsageError
from wavlm.errors.codes import Code
from wavlm.execution.progress import no_progress
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Corpus
from wavlm.pipeline.check.sources import check_sources
from wavlm.pipeline.check.wanted import Wanted
from wavlm.pipeline.store import Store
from wavlm.specs import AccessSpec
from wavlm.specs.publishers import MlsLayout
from wavlm.specs.yaml import read_recipe


def librispeech(part: str) -> dict[str, bytes]:
    chapter = f"LibriSpeech/{part}/84/121123"
    texts = "84-121123-0000 GO DO YOU HEAR\n84-121123-0001 BUT IN LESS THAN FIVE MINUTES\n"
    audio = {f"{chapter}/84-121123-000{number}.flac": encode("flac", number) for number in range(2)}
    notes = {
        "LibriSpeech/README.TXT": b"LibriSpeech is a corpus of read speech",
        "LibriSpeech/SPEAKERS.TXT": b";ID |SEX",
    }
    return {**notes, f"{chapter}/84-121123.trans.txt": texts.encode(), **audio}


@pytest.mark.parametrize(
    ("name", "part"), [("librispeech-dev-clean", "dev-clean"), ("mini-librispeech", "train-clean-5")]
)
def test_librispeech_and_its_mini_form(tmp_path: Path, name: str, part: str) -> None:
    with serving_archives({f"{part}.tar.gz": tar(librispeech(part), "w:gz")}) as server:
        _, rows = fetch(tmp_path, name, [server.source(f"{part}.tar.gz", "tar.gz")])
    assert {key: (row.speaker, row.text) for key, row in rows.items()} == {
        "84-121123-0000": ("84", "GO DO YOU HEAR"),
        "84-121123-0001": ("84", "BUT IN LESS THAN FIVE MINUTES"),
    }


def test_musan_without_its_speech(tmp_path: Path) -> None:
    files = {f"musan/{kind}/free-sound/{kind}-free-sound-0000.wav": encode("wav", 1) for kind in ("music", "noise")}
    files |= {"musan/speech/librivox/speech-librivox-0000.wav": encode("wav", 2)}
    files |= {"musan/noise/free-sound/LICENSE": b"CC0", "musan/noise/free-sound/ANNOTATIONS": b"noise-free-sound-0000"}
    with serving_archives({"musan.tar.gz": tar(files, "w:gz")}) as server:
        facts, rows = fetch(tmp_path, "musan", [server.source("musan.tar.gz", "tar.gz")], max_left_out=0.4)
    assert sorted(rows) == [
        "musan__music__free-sound__music-free-sound-0000",
        "musan__noise__free-sound__noise-free-sound-0000",
    ]
    assert facts.role == "noise"


def test_simulated_rooms_of_rirs_noises(tmp_path: Path) -> None:
    room = "RIRS_NOISES/simulated_rirs/smallroom/Room001"
    files = {f"{room}/Room001-0000{number}.wav": encode("wav", number) for number in (1, 2)}
    files |= {"RIRS_NOISES/pointsource_noises/noise-free-sound-0000.wav": encode("wav", 3)}
    files |= {"RIRS_NOISES/simulated_rirs/smallroom/rir_list": b"--rir-id small-room-001"}
    with serving_archives({"rirs_noises.zip": zipped(files)}) as server:
        _, rows = fetch(tmp_path, "rirs-noises", [server.source("rirs_noises.zip", "zip")])
    assert {row.speaker for row in rows.values()} == {"smallroom/Room001"}
    assert len(rows) == 2


def test_noise_of_the_deep_noise_suppression_challenge(tmp_path: Path) -> None:
    clips = ("---1_cCGK4M", "door_Freesound_1")
    parts = [{f"noise_fullband/{name}.wav": encode("wav", seed)} for seed, name in enumerate(clips)]
    names = [f"datasets_fullband.noise_fullband.{part}_000.tar.bz2" for part in ("audioset", "freesound")]
    files = {name: tar(part, "w:bz2") for name, part in zip(names, parts, strict=True)}
    with serving_archives(files) as server:
        sources = [server.source(name, "tar.bz2", to="datasets_fullband") for name in names]
        facts, rows = fetch(tmp_path, "dns-noise", sources)
    assert len(rows) == 2
    assert {row.path.rpartition("/")[0] for row in rows.values()} == {"audio/datasets_fullband/noise_fullband"}
    assert len(facts.archives) == 2


@pytest.mark.parametrize("kind", ["opus", "flac"])
def test_multilingual_librispeech_holds_out_its_dev_set(tmp_path: Path, kind: str) -> None:
    files: dict[str, bytes] = {}
    for number, part in enumerate(("train", "dev", "test")):
        who = f"{number + 1}042"
        files[f"mls_polish/{part}/audio/{who}/7/{who}_7_000000.{kind}"] = encode(kind, number)
        files[f"mls_polish/{part}/transcripts.txt"] = f"{who}_7_000000\tdzień dobry\n".encode()
    files["mls_polish/train/limited_supervision/9hr/handles.txt"] = b"1042_7_000000\n"
    layout = MlsLayout(type="mls", root="mls_polish")
    with serving_archives({"mls_polish.tar.gz": tar(files, "w:gz")}) as server:
        sources = [server.source("mls_polish.tar.gz", "tar.gz")]
        facts, rows = fetch(tmp_path, "mls-english", sources, layout=layout, language="pl")
    assert {row.key: (row.speaker, row.split, row.text) for row in rows.values()} == {
        "1042_7_000000": ("1042", "train", "dzień dobry"),
        "2042_7_000000": ("2042", "valid", "dzień dobry"),
    }
    assert facts.excluded["TEST_SPLIT"].recordings == 1


def test_texts_of_multilingual_librispeech_without_audio_are_an_error(tmp_path: Path) -> None:
    files = {
        "train/audio/1/7/1_7_000000.flac": encode("flac", 1),
        "train/transcripts.txt": b"1_7_000000\ta\n1_7_000001\tb\n",
    }
    layout = MlsLayout(type="mls")
    lost = pytest.raises(BadDataError, match="TABLE_JOIN: 1 of 2 rows")
    with serving_archives({"mls.tar.gz": tar(files, "w:gz")}) as server, lost:
        fetch(tmp_path, "mls-english", [server.source("mls.tar.gz", "tar.gz")], layout=layout)


def common_voice() -> dict[str, bytes]:
    root = "cv-corpus-21.0-2025-03-14/en"
    header = (
        "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\tage\tgender\taccents\tlocale"
    )
    rows = [
        f"c0ffee{number}\tcommon_voice_en_{number}.mp3\tx\tHello {number}.\t\t2\t0\t\t\t\ten" for number in range(2)
    ]
    clips = {f"{root}/clips/common_voice_en_{number}.mp3": encode("mp3", number) for number in range(3)}
    return {f"{root}/validated.tsv": "\n".join([header, *rows, ""]).encode(), **clips}


def test_validated_clips_of_common_voice_are_fetched_with_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name, secret = "cv-corpus-21.0-2025-03-14-en.tar.gz", "t0p-secret"
    access = AccessSpec(agreement="COMMON_VOICE_AGREED", token="COMMON_VOICE_TOKEN")  # noqa: S106 - names
    monkeypatch.setenv("COMMON_VOICE_AGREED", "yes")
    monkeypatch.setenv("COMMON_VOICE_TOKEN", secret)
    with serving_archives({name: tar(common_voice(), "w:gz")}, token=secret) as server:
        sources = [server.source(name, "tar.gz")]
        facts, rows = fetch(tmp_path, "common-voice-en", sources, gated=True, access=access)
        assert {request[2] for request in server.seen} == {f"Bearer {secret}"}
    assert {row.speaker: row.text for row in rows.values()} == {"c0ffee0": "Hello 0.", "c0ffee1": "Hello 1."}
    assert facts.files is not None
    assert facts.files.count("excluded") == 1  # the clip that is not validated
    assert secret not in caplog.text
    assert not any(secret.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_token_stays_with_the_host_that_it_is_for(tmp_path: Path) -> None:
    blob = tar(librispeech("dev-clean"), "w:gz")
    with serving_archives({"a.tar.gz": blob}) as other, serving_archives({}, redirect=other) as asked:
        source = other.source("a.tar.gz", "tar.gz").model_copy(update={"urls": (asked.url("a.tar.gz"),)})
        fetch_archive(source, tmp_path, no_progress, None, Credentials(token="t0p-secret"))  # noqa: S106
    assert [request[2] for request in asked.seen] == ["Bearer t0p-secret"]
    assert [request[2] for request in other.seen] == [None]


def test_what_a_publisher_asks_for_is_looked_at_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("COMMON_VOICE_AGREED", raising=False)
    access = AccessSpec(agreement="COMMON_VOICE_AGREED")
    with serving_archives({"cv.tar.gz": b""}) as server:
        spec = from_server("common-voice-en", [server.source("cv.tar.gz", "tar.gz")], gated=True, access=access)
    recipe = read_recipe(SHIPPED.with_name("recipes") / "mini-librispeech.yaml")
    wanted = Wanted(recipe, (Corpus(spec),), Store(tmp_path), Runtime())
    (error,) = check_sources(wanted)
    assert str(error).startswith("GATED: ")


def test_a_gated_corpus_without_access_is_not_fetched(tmp_path: Path) -> None:
    with serving_archives({"cv.tar.gz": tar(common_voice(), "w:gz")}) as server:
        wanted = from_server("common-voice-en", [server.source("cv.tar.gz", "tar.gz")], gated=True)
        with pytest.raises(UsageError, match="GATED: "):
            build_corpus(wanted, tmp_path / "downloads", tmp_path / "out", no_progress, None, 0)
        assert not server.seen


def test_peoples_speech_in_parquet_files(tmp_path: Path) -> None:
    files = {
        f"clean/{split}-00000-of-00001.parquet": parquet(
            [
                {
                    "id": f"{split}/part_{number}.flac",
                    "audio": {"bytes": encode("flac", seed + number), "path": f"part_{number}.flac"},
                    "duration_ms": 500,
                    "text": f"text {number}",
                }
                for number in range(2)
            ]
        )
        for seed, split in zip((10, 20, 30), ("train", "validation", "test"), strict=True)
    }
    with serving_archives(files) as server:
        sources = [server.source(path, "file", to=path) for path in files]
        facts, rows = fetch(tmp_path, "peoples-speech", sources)
    assert sorted((row.split, row.text) for row in rows.values()) == [
        ("train", "text 0"),
        ("train", "text 1"),
        ("valid", "text 0"),
        ("valid", "text 1"),
    ]
    assert facts.excluded["TEST_SPLIT"].recordings == 2


def test_tars_of_yodas(tmp_path: Path) -> None:
    names = ("DHi2OmnS8y8-00000-00000000-00000200", "DHi2OmnS8y8-00001-00000200-00000400")
    paths = [f"data/en000/audio/0000000{number}.tar.gz" for number in range(2)]
    files = {
        path: tar({f"./{name}.wav": encode("wav", seed)}, "w:gz")
        for seed, (path, name) in enumerate(zip(paths, names, strict=True))
    }
    with serving_archives(files) as server:
        _, rows = fetch(tmp_path, "yodas-en", [server.source(path, "tar.gz", to=path) for path in paths])
        without = from_server("yodas-en", [server.source(paths[0], "tar.gz")])
        with pytest.raises(UsageError, match=r"SOURCES: .*`to` does not say their paths"):
            build_corpus(without, tmp_path / "downloads", tmp_path / "other", no_progress, None, 0)
    assert sorted(rows) == [f"data__en000__audio__0000000{number}__{name}" for number, name in enumerate(names)]
    assert {row.language for row in rows.values()} == {"en"}


def test_the_codes_of_access_are_listed() -> None:
    assert {"GATED", "CREDENTIALS_MISSING", "DECRYPT_FAILED"} <= set(Code)
