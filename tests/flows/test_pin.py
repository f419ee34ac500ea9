"""Archives without their publisher's digest, on the command line: plan, run, and `wavlm pin`."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.corpus.publishers.archive_server import serving_archives
from tests.corpus.publishers.packing import encode, tar
from tests.folders import CORPUS, RECIPE
from wavlm.errors import UsageError
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.check import Remark, find
from wavlm.pipeline.known import require_known
from wavlm.pipeline.plan import plan
from wavlm.pipeline.resolve import read_folder, resolve
from wavlm.pipeline.store import Store
from wavlm.specs.yaml import read_corpus, read_recipe

Wavlm = Callable[..., "subprocess.CompletedProcess[str]"]


def archive(clips: int) -> bytes:
    speakers = ("ann", "bob", "cid", "dan", "fay")
    return tar(
        {
            f"{who}/{clip}.flac": encode("flac", 10 * number + clip, 0.8)
            for number, who in enumerate(speakers)
            for clip in range(clips)
        }
    )


def write_specs(folder: Path, url: str) -> Path:
    source = f"{{type: https, urls: ['{url}'], digest_from: first-download, format: tar}}"
    for name, text in (("corpora/voices.yaml", CORPUS % source), ("recipes/small.yaml", RECIPE)):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(text)
    return folder / "recipes/small.yaml"


def said(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join((done.stdout + done.stderr).split())


@pytest.mark.full
def test_a_run_downloads_first_and_what_was_replaced_is_taken_only_when_it_is_accepted(
    tmp_path: Path, wavlm: Wavlm
) -> None:
    old, new = archive(2), archive(3)
    one, two = ("--store", tmp_path / "one"), ("--store", tmp_path / "two")
    with serving_archives({"voices.tar": old}) as server:
        recipe = write_specs(tmp_path / "specs", server.url("voices.tar"))
        planned = wavlm("plan", recipe, *one)
        assert "1 archive has no digest from the publisher" in said(planned)
        assert re.search(r"\? +corpus/voices-\?", planned.stdout)
        assert not server.seen

        done = wavlm("stage", "corpus", recipe, *one)
        assert done.returncode == 0, done.stderr
        assert len(server.seen) == 1
        listed = tmp_path / "specs/corpora/voices.digests.json"
        assert json.loads(listed.read_text())[server.url("voices.tar")]["sha256"] == hashlib.sha256(old).hexdigest()
        key = re.search(r"there +corpus/voices-([0-9a-f]{12})", wavlm("plan", recipe, *one).stdout)
        assert key

        server.files = {"voices.tar": new}  # another machine, later: the list came with the spec
        refused = wavlm("stage", "corpus", recipe, *two)
        assert refused.returncode == 65
        accept = f"wavlm pin CORPUS --accept {hashlib.sha256(new).hexdigest()}"
        assert accept in said(refused)
        assert f"make corpus/voices-{key[1]}" in said(wavlm("plan", recipe, *two))  # still what it was

        asked = len(server.seen)
        accepted = wavlm("pin", tmp_path / "specs/corpora/voices.yaml", *accept.split()[3:], *two)
        assert accepted.returncode == 0, accepted.stderr
        assert wavlm("stage", "corpus", recipe, *two).returncode == 0
        assert len(server.seen) == asked
        other = re.search(r"there +corpus/voices-([0-9a-f]{12})", wavlm("plan", recipe, *two).stdout)
        assert other
        assert other[1] != key[1]


@pytest.mark.slow
def test_a_list_that_was_lost_is_written_again_from_what_the_store_has_noted(tmp_path: Path, wavlm: Wavlm) -> None:
    store = ("--store", tmp_path / "store")
    with serving_archives({"voices.tar": archive(2)}) as server:
        recipe = write_specs(tmp_path / "specs", server.url("voices.tar"))
        read_folder(read_corpus(tmp_path / "specs/corpora/voices.yaml"), Store(tmp_path / "store"))
    listed = tmp_path / "specs/corpora/voices.digests.json"
    before = listed.read_text()
    listed.unlink()
    done = wavlm("pin", recipe, *store)
    assert done.returncode == 0, done.stderr
    assert "voices 1 1" in said(done)
    assert listed.read_text() == before


@pytest.mark.slow
def test_there_is_nothing_to_pin_where_publishers_give_digests(tmp_path: Path, wavlm: Wavlm) -> None:
    done = wavlm("pin", "mini-librispeech", "--store", tmp_path / "store")
    assert done.returncode == 2
    assert done.stderr.startswith("NOTHING_FITS: all archives of mini-librispeech")


def test_before_a_first_download_there_is_no_key_and_check_says_that_nobody_knows_the_bytes(tmp_path: Path) -> None:
    recipe = read_recipe(write_specs(tmp_path / "specs", "https://example.org/voices.tar"))
    store = Store(tmp_path / "store")
    with pytest.raises(UsageError, match=r"DOWNLOAD_UNKNOWN: archives of voices .*run `wavlm run`"):
        require_known(recipe, store)
    corpus, *_ = plan(resolve(recipe, store))
    with pytest.raises(UsageError, match=r"FOLDER_UNKNOWN: .* first download"):
        store.require(corpus)
    said = [item for item in find(recipe, [corpus], store, Runtime()) if isinstance(item, Remark) and item.is_warning]
    assert any("voices: 1 archive has no digest from the publisher" in item.text for item in said)
