"""Large corpora in their publishers' layouts, packed as their publishers pack them, through the real download path."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from tests.corpus.publishers.archive_server import serving_archives
from tests.corpus.publishers.fetching import SHIPPED, fetch
from tests.corpus.publishers.packing import encode, encrypt, gzipped, tar
from wavlm.corpus.facts import CorpusFacts
from wavlm.corpus.manifest import ManifestRow
from wavlm.errors import BadDataError, UsageError
from wavlm.specs import AccessSpec
from wavlm.specs.publishers import GigaspeechLayout, LibrilightLayout, VoxpopuliLayout
from wavlm.specs.yaml import read_corpus

PASSWORD = "correct horse"  # noqa: S105 - of an archive that a test makes


def side_file(speaker: str, voices: list[list[float]]) -> bytes:
    """As Libri-Light's `data_preparation/README.md` shows it."""
    book = {"id": "319", "title": "History of Holland", "genre": ["*Non-fiction"], "meta_genre": "Literature"}
    found = {"speaker": speaker, "book_meta": book, "snr": 5.391, "voice_activity": voices}
    return json.dumps(found, indent=1).encode()


def test_libri_light_is_cut_at_the_pauses_of_its_voice_activity(tmp_path: Path) -> None:
    chapter = "small/960/holland_1011_librivox_64kb_mp3/holland_01_edmundson_64kb"
    silent = "small/12/poems_0904_librivox_64kb_mp3/poems_01_64kb"
    files = {
        f"{chapter}.flac": encode("flac", 1, 8.0),
        # Pauses: 0.2 s inside, 3 s between, and a last stretch that touches the end.
        f"{chapter}.json": side_file("960", [[0.4, 1.4], [1.6, 2.4], [5.4, 6.0], [6.5, 8.0]]),
        f"{silent}.flac": encode("flac", 2, 1.0),
        f"{silent}.json": side_file("12", []),
    }
    with serving_archives({"small.tar": tar(files)}) as server:
        facts, rows = fetch(tmp_path, "libri-light-small", [server.source("small.tar", "tar")])
    # A margin of 0.2 s into each pause, none behind the last stretch.
    assert [(row.start_s, row.end_s) for row in rows.values()] == [(0.2, 2.6), (5.2, 8.0)]
    assert {row.speaker for row in rows.values()} == {"960"}
    assert {row.language for row in rows.values()} == {"en"}
    assert facts.hours == pytest.approx((2.4 + 2.8) / 3600, abs=1e-6)
    assert facts.files is not None
    assert facts.files.count("excluded") == 1  # the chapter in which nobody speaks


def test_voice_of_libri_light_is_never_cut_and_no_region_overlaps(tmp_path: Path) -> None:
    voices = [[float(start), start + 0.75] for start in range(40)]
    files = {"small/7/book/a.flac": encode("flac", 3, 40.0), "small/7/book/a.json": side_file("7", voices)}
    shipped = LibrilightLayout(type="librilight", root="small", max_seconds=10.0)
    with serving_archives({"small.tar": tar(files)}) as server:
        _, rows = fetch(tmp_path, "libri-light-small", [server.source("small.tar", "tar")], layout=shipped)
    spans = sorted((row.start_s or 0.0, row.end_s or 0.0) for row in rows.values())
    assert all(end - start <= 10.0 + 2 * 0.2 for start, end in spans)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))
    assert all(any(start <= voice[0] and voice[1] <= end for start, end in spans) for voice in voices)


@pytest.mark.parametrize("voices", [[[1.0, 0.5]], [[0.1]], "0.4", [[0.0, float("inf")]], None])
def test_a_voice_activity_that_is_none_is_an_error_that_names_the_file(tmp_path: Path, voices: object) -> None:
    files = {"small/7/book/a.flac": encode("flac", 3), "small/7/book/a.json": side_file("7", voices)}  # type: ignore[arg-type]
    with serving_archives({"small.tar": tar(files)}) as server, pytest.raises(BadDataError, match=r"LAYOUT: .*a\.json"):
        fetch(tmp_path, "libri-light-small", [server.source("small.tar", "tar")])


def test_chapters_without_a_side_file_are_an_error_above_the_bound(tmp_path: Path) -> None:
    files = {"small/7/book/a.flac": encode("flac", 3)}
    lost = pytest.raises(BadDataError, match="TABLE_JOIN: 1 of 1 chapters have no JSON")
    with serving_archives({"small.tar": tar(files)}) as server, lost:
        fetch(tmp_path, "libri-light-small", [server.source("small.tar", "tar")])


def segment(name: str, begin: float, end: float, text: str, *subsets: str) -> dict[str, object]:
    marks = [f"{{{subset}}}" for subset in subsets]
    return {"sid": name, "speaker": "N/A", "begin_time": begin, "end_time": end, "text_tn": text, "subsets": marks}


def episode(name: str, path: str, subsets: list[str], *segments: dict[str, object]) -> dict[str, object]:
    return {
        "title": "The Architect of Hollywood",
        "aid": name,
        "path": path,
        "format": "opus",
        "sample_rate": 16000,
        "channels": 1,
        "duration": 3.0,
        "subsets": [f"{{{subset}}}" for subset in subsets],
        "segments": list(segments),
    }


GIGASPEECH = {
    "dataset": "GigaSpeech",
    "language": "EN",
    "version": "v1.0.0",
    "audios": [
        episode(
            "POD0000000025",
            "audio/podcast/P0001/POD0000000025.opus",
            ["XL", "L"],
            segment("POD0000000025_S0000001", 0.2, 1.2, "FOUR O'CLOCK <COMMA> SAID WILLIAMS <PERIOD>", "XL", "L"),
            segment("POD0000000025_S0000002", 1.2, 1.9, "<MUSIC>", "XL", "L"),
            segment("POD0000000025_S0000003", 2.0, 2.9, "YES <PERIOD>", "XL"),
        ),
        episode(
            "YOU0000000001",
            "audio/youtube/P0002/YOU0000000001.opus",
            ["TEST"],
            segment("YOU0000000001_S0000001", 0.0, 1.0, "NO <PERIOD>", "TEST"),
        ),
        episode(  # one of the 65 files of 0 bytes
            "POD0000009985",
            "audio/podcast/P0100/POD0000009985.opus",
            ["XL"],
            segment("POD0000009985_S0000001", 0.0, 1.0, "OH <PERIOD>", "XL"),
        ),
        episode("POD0000008100", "audio/podcast/P0081/POD0000008100.opus", ["XL"]),  # not downloaded
    ],
}


@pytest.fixture
def gigaspeech() -> dict[str, bytes]:
    """The files of the publisher's server: each folder of audio as .tgz.aes, and the list as .json.gz.aes."""
    folders = {
        "audio/podcast/P0001": {"POD0000000025.opus": encode("opus", 4, 3.0)},
        "audio/youtube/P0002": {"YOU0000000001.opus": encode("opus", 5, 1.5)},
        "audio/podcast/P0100": {"POD0000009985.opus": b""},
    }
    files = {f"{name}.tgz.aes": encrypt(tar(found, "w:gz"), PASSWORD) for name, found in folders.items()}
    return {**files, "GigaSpeech.json.gz.aes": encrypt(gzipped(json.dumps(GIGASPEECH)), PASSWORD)}


def gated(root: Path, files: dict[str, bytes], **layout: object) -> tuple[CorpusFacts, dict[str, ManifestRow]]:
    access = AccessSpec(agreement="GIGASPEECH_AGREED", password="GIGASPEECH_PASSWORD")  # noqa: S106 - names
    locked = {"encryption": "openssl-aes-256-cbc"}
    shipped = GigaspeechLayout.model_validate({"type": "gigaspeech", "max_left_over_rows": 0.5, **layout})
    with serving_archives(files) as server:
        sources = [
            server.source(path, "file.gz", to="GigaSpeech.json", **locked)
            if path.startswith("GigaSpeech")
            else server.source(path, "tar.gz", to=path.removesuffix(".tgz.aes"), **locked)
            for path in files
        ]
        return fetch(root, "gigaspeech", sources, layout=shipped, gated=True, access=access)


def test_gigaspeech_is_decrypted_and_read_by_segments_without_what_is_no_speech(
    tmp_path: Path, gigaspeech: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GIGASPEECH_AGREED", "yes")
    monkeypatch.setenv("GIGASPEECH_PASSWORD", PASSWORD)
    facts, rows = gated(tmp_path, gigaspeech)
    assert [(row.key, row.start_s, row.end_s) for row in rows.values()] == [
        ("POD0000000025_S0000001", 0.2, 1.2),
        ("POD0000000025_S0000003", 2.0, 2.9),
    ]
    assert {row.speaker for row in rows.values()} == {"POD0000000025"}
    assert rows["POD0000000025_S0000003"].text == "YES <PERIOD>"
    (table,) = facts.tables
    assert (table.rows, table.by_path, table.left_over) == (3, 2, 1)
    assert table.examples[0].endswith("POD0000009985.opus (left over)")
    assert PASSWORD not in caplog.text
    written = (path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not any(PASSWORD.encode() in blob for blob in written)


def test_whole_episodes_of_gigaspeech_are_a_choice(
    tmp_path: Path, gigaspeech: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIGASPEECH_AGREED", "yes")
    monkeypatch.setenv("GIGASPEECH_PASSWORD", PASSWORD)
    facts, rows = gated(tmp_path, gigaspeech, take="episodes", max_left_over_rows=0.7)
    assert list(rows) == ["POD0000000025"]  # not the one of the test set
    assert facts.tables[0].left_over == 2  # 0 bytes, and missing
    assert read_corpus(SHIPPED / "gigaspeech-episodes.yaml").expected_hours == 33005


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ({}, "GATED"),
        ({"GIGASPEECH_AGREED": "no", "GIGASPEECH_PASSWORD": PASSWORD}, "GATED"),
        ({"GIGASPEECH_AGREED": "yes"}, "CREDENTIALS_MISSING"),
        ({"GIGASPEECH_AGREED": "yes", "GIGASPEECH_PASSWORD": "wrong"}, "DECRYPT_FAILED"),
    ],
)
def test_a_gated_corpus_is_refused_with_what_is_missing(
    tmp_path: Path,
    gigaspeech: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    code: str,
) -> None:
    for name in ("GIGASPEECH_AGREED", "GIGASPEECH_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=f"{code}: ") as found:
        gated(tmp_path, gigaspeech)
    assert PASSWORD not in str(found.value)


def test_more_missing_episodes_than_the_bound_are_an_error(
    tmp_path: Path, gigaspeech: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIGASPEECH_AGREED", "yes")
    monkeypatch.setenv("GIGASPEECH_PASSWORD", PASSWORD)
    with pytest.raises(BadDataError, match=r"TABLE_JOIN: 1 of 3 rows name audio that is not there"):
        gated(tmp_path, gigaspeech, max_left_over_rows=0.1)


SESSIONS = ("20090114-0900-PLENARY-9_en", "20101118-0900-PLENARY-3_en", "20090114-0900-PLENARY-9_de")


def test_segments_of_voxpopuli_are_regions_and_a_session_is_a_speaker(tmp_path: Path) -> None:
    rows = [
        f"{session}\t{number}\t{start}\t{start + 0.8}"
        for session in SESSIONS
        for number, start in enumerate((0.1, 1.0), 1)
    ]
    table = "\n".join(["event_id\tsegment_no\tstart\tend", *rows]) + "\n"
    files = {
        f"audios/en_{session[:4]}.tar": tar({f"en/{session[:4]}/{session}.ogg": encode("ogg", seed, 2.0)})
        for seed, session in enumerate(SESSIONS[:2])
    }
    files["annotations/unlabelled_v2.tsv.gz"] = gzipped(table)
    with serving_archives(files) as server:
        sources = [server.source(path, "tar", to="raw_audios") for path in list(files)[:2]]
        listed = "unlabelled_data/unlabelled_v2.tsv.gz"
        sources.append(server.source("annotations/unlabelled_v2.tsv.gz", "file", to=listed))
        _, found = fetch(tmp_path, "voxpopuli-en", sources)
        one_year = VoxpopuliLayout(type="voxpopuli", years=(2010,))
        _, later = fetch(tmp_path / "later", "voxpopuli-en", sources, layout=one_year, max_left_out=1.0)
    assert [(row.speaker, row.start_s, row.end_s, row.language) for row in found.values()] == [
        (SESSIONS[0], 0.1, 0.9, "en"),
        (SESSIONS[0], 1.0, 1.8, "en"),
        (SESSIONS[1], 0.1, 0.9, "en"),
        (SESSIONS[1], 1.0, 1.8, "en"),
    ]
    assert {row.speaker for row in later.values()} == {SESSIONS[1]}


def test_transcribed_voxpopuli_has_texts_speakers_and_the_splits_of_its_publisher(tmp_path: Path) -> None:
    session = "20131007-0900-PLENARY-19"
    header = "id_|session_id|start_time|end_time|original_text|normed_text|speaker_id|gender|split|vad"
    rows = [
        f'7|{session}|0.0|1.0|"Thank ""you""\nMadam"|thank you madam|96853|female|train|[(0.1, 0.9)]',
        f"8|{session}|1.0|2.0|Yes|yes|None|male|dev|[(1.0, 2.0)]",
        f"9|{session}|2.0|2.9|No|no|28219|male|test|[(2.0, 2.9)]",
    ]
    files = {
        "audios/original_2013.tar": tar({f"original/2013/{session}_original.ogg": encode("ogg", 6, 3.0)}),
        "annotations/asr/asr_en.tsv.gz": gzipped("\n".join([header, *rows]) + "\n"),
    }
    with serving_archives(files) as server:
        sources = [
            server.source("audios/original_2013.tar", "tar", to="raw_audios"),
            server.source("annotations/asr/asr_en.tsv.gz", "file", to="transcribed_data/en/asr_en.tsv.gz"),
        ]
        facts, found = fetch(tmp_path, "voxpopuli-en-transcribed", sources)
    assert [(row.key, row.speaker, row.split, row.text) for row in found.values()] == [
        (f"{session}-7", "96853", "train", "thank you madam"),
        (f"{session}-8", session, "valid", "yes"),
    ]
    assert facts.excluded["TEST_SPLIT"].recordings == 1
