"""The trees of large corpora are recognised by their publishers' lists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.corpus.publishers.packing import encode, gzipped
from wavlm.pipeline.init.detect import detect

VOICES = json.dumps({"speaker": "1", "voice_activity": [[0.0, 0.4]]}).encode()
TREES: dict[str, dict[str, bytes]] = {
    "librilight": {"small/1/book/a.flac": b"", "small/1/book/a.json": VOICES},
    "gigaspeech": {"audio/podcast/P0001/POD1.opus": b"", "GigaSpeech.json": b'{"audios": []}'},
    "voxpopuli": {
        "raw_audios/en/2009/20090114-0900-PLENARY-9_en.ogg": b"",
        "unlabelled_data/unlabelled_v2.tsv.gz": gzipped("event_id\tsegment_no\tstart\tend\n"),
    },
    "mls": {"mls_polish/train/audio/1042/7/1042_7_000000.flac": b"", "mls_polish/train/transcripts.txt": b"1\ta\n"},
}


@pytest.mark.parametrize("kind", TREES)
@pytest.mark.parametrize("above", ["", "copy/"])
def test_the_tree_of_a_publisher_is_recognised(tmp_path: Path, kind: str, above: str) -> None:
    for name, blob in TREES[kind].items():
        path = tmp_path / above / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(blob or encode("flac", 1, 0.1))
    assert detect(tmp_path).layout.type == kind


def test_a_json_of_another_kind_beside_audio_is_no_libri_light(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(encode("flac", 1, 0.1))
    (tmp_path / "a.json").write_text('{"speaker": "ann"}')
    assert detect(tmp_path).layout.type == "generic"
