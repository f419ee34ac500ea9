"""Kind F: names of files that stopped a whole corpus, or were mistaken for one another.

People reported: a path of 34 Chinese characters was refused (KEY_BAD, with it the corpus), 33 Arabic letters too; a
file name in ISO-8859-1 ended in a UnicodeEncodeError.
"""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import unicodedata
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import soundfile

from tests.corpus.corpora import of_folder, tone
from wavlm.corpus.build import build_corpus
from wavlm.corpus.manifest import read_manifest
from wavlm.execution.progress import no_progress
from wavlm.shards.build import build_shards
from wavlm.shards.recordings import Intake
from wavlm.specs import ShardSpec
from wavlm.specs.layouts import GenericLayout
from wavlm.storage.encoding import printable

SPEAKERS = GenericLayout(type="generic", speaker="^(?P<speaker>.+)/[^/]+$")
NAMES = [
    b"plain/001.flac",
    "普通话语料库/第一批录音/说话人零零一/普通话朗读句子第零零一号录音文件.flac".encode(),
    "تسجيل/تسجيل صوتي طويل باللغة العربية رقم واحد.flac".encode(),
    "😀😀/👩‍👩‍👧‍👦.flac".encode(),
    b"caf\xe9/caf\xe9.flac",
    b"caf\xe9/" + b"\xff" * 245 + b".flac",
    b"long/" + b"a" * 250 + b".flac",
    b"long/" + b"a" * 249 + b"b.flac",
    b"deep/" + b"/".join([b"d" * 200] * 5) + b"/x.flac",
    b"case/a.flac",
    b"case/A.flac",
    "norm/é.flac".encode(),
    unicodedata.normalize("NFD", "norm/é.flac").encode(),
    b"control/new\nline.flac",
    b"control/tab\tand\x1b[31mred.flac",
    b"spaces/ a .flac",
    b"dots/a..flac",
    b'quote/"it\'s".flac',
    b"back\\slash/a\\b.flac",
    b"-rf/--help.flac",
    b"percent%20/%41.flac",
    b"underscore/_x41__.flac",
]


def grow(folder: Path) -> dict[bytes, str]:
    """Half a second of tone under each name. Returns the sha256 of each file."""
    digests = {}
    for number, name in enumerate(NAMES):
        path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            soundfile.write(file, tone(0.5, 200 + 10 * number), 16000, format="FLAC")
        digests[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return digests


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[bytes, str]]:
    base = tmp_path_factory.mktemp("names")
    digests = grow(base / "raw")
    build_corpus(of_folder(base / "raw", SPEAKERS), base, base / "corpus", no_progress)
    return base / "raw", base / "corpus", digests


def test_any_name_is_a_recording_with_its_own_key_and_its_real_path(
    corpus: tuple[Path, Path, dict[bytes, str]],
) -> None:
    raw, folder, digests = corpus
    rows = read_manifest(folder)
    assert len({row.key for row in rows}) == len(NAMES)
    assert all(len(row.key) <= 200 and row.key.replace("_", "").replace("-", "").isalnum() for row in rows)
    assert all(row.key.isascii() for row in rows)
    assert {os.fsencode(row.path): row.sha256 for row in rows} == digests
    assert all((raw / row.path).is_file() for row in rows)


def test_the_manifest_can_be_read_by_any_program(corpus: tuple[Path, Path, dict[bytes, str]]) -> None:
    table = pq.read_table(corpus[1] / "manifest.parquet").to_pylist()
    assert all(row["path"].encode() and row["speaker"].encode() for row in table)
    speakers = {row["speaker"] for row in table}
    assert {"普通话语料库/第一批录音/说话人零零一", "caf\\xe9", "norm", "control", "back\\slash"} <= speakers


def test_utterances_of_any_name_can_be_packed(corpus: tuple[Path, Path, dict[bytes, str]], tmp_path: Path) -> None:
    spec = ShardSpec(min_seconds=0.2, max_seconds=10.0)
    facts = build_shards(spec, corpus[1], tmp_path / "shards", 1, no_progress, Intake(root=corpus[0], stall_seconds=0))
    assert facts.utterances == len(NAMES)
    with tarfile.open(next((tmp_path / "shards").glob("train-*.tar"))) as tar:
        names = tar.getnames()
    assert len(set(names)) == len(names)
    assert all(len(name.rpartition("/")[2]) <= 255 for name in names)


def test_a_name_that_cannot_be_printed_is_refused_in_one_line(tmp_path: Path) -> None:
    """The corpus has one bad recording of each kind: its name stands in the list of rejects."""
    grow(tmp_path / "raw")
    bad = Path(os.fsdecode(os.fsencode(tmp_path) + b"/raw/bad\xff\n.flac"))
    bad.write_bytes(b"fLaC" + bytes(100))
    layout = GenericLayout(type="generic")
    build_corpus(of_folder(tmp_path / "raw", layout), tmp_path, tmp_path / "corpus", no_progress)
    spec = ShardSpec(min_seconds=0.2, max_seconds=10.0, max_rejected=0.5)
    build_shards(
        spec, tmp_path / "corpus", tmp_path / "shards", 1, no_progress, Intake(root=tmp_path / "raw", stall_seconds=0)
    )
    (reject,) = pq.read_table(tmp_path / "shards/rejects.parquet").to_pylist()
    assert reject["key"] == "bad_xff_x0a"
    assert "\n" not in json.dumps(reject, ensure_ascii=False)
    assert printable(reject["detail"]) == reject["detail"]


def test_another_encoding_of_file_names_is_refused_at_once() -> None:
    environment = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    command = [sys.executable, "-m", "wavlm.execution.command", "plan", "demo"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("FILE_ENCODING: file names are read as ")
    assert "LC_ALL=C.UTF-8" in done.stderr
