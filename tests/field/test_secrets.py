"""Secrets in addresses. Reported: user, password and token of a download stood in the records of a corpus and in
MLflow; only the logs were clean. Here every file that anything writes is searched for them.
"""

from __future__ import annotations

import io
import logging
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.corpus.download.bad_server import serving
from wavlm.corpus.build import build_corpus
from wavlm.corpus.download import RetryPolicy, fetch
from wavlm.errors import CodedError, UsageError
from wavlm.errors.secrets import without_secrets
from wavlm.pipeline.artifacts import Corpus
from wavlm.pipeline.store import Store
from wavlm.specs import CorpusSpec, HttpsSource
from wavlm.specs.yaml import read_corpus

CANARIES = ("canary-user", "canary-word", "canary-token")
LOGIN, TOKEN = "canary-user:canary-word@", "?token=canary-token;x=canary-token"


def find_canaries(text: str | bytes) -> list[str]:
    blob = text.encode() if isinstance(text, str) else text
    return [canary for canary in CANARIES if canary.encode() in blob]


def find_in_files(folder: Path) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [f"{path}: {found}" for path in files if (found := find_canaries(str(path) + path.read_text("latin-1")))]


def archive() -> bytes:
    """A tar of two recordings."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in ("one/a.flac", "two/b.flac"):
            audio = io.BytesIO()
            soundfile.write(audio, np.sin(np.arange(20_000) / 7) / 3, 16_000, format="FLAC")
            member = tarfile.TarInfo(name)
            member.size = len(audio.getvalue())
            tar.addfile(member, io.BytesIO(audio.getvalue()))
    return file.getvalue()


def corpus_of(url: str, digest: str) -> CorpusSpec:
    return CorpusSpec.model_validate_json(
        f"""{{"name": "canary", "role": "noise", "description": "d", "homepage": "https://example.org",
        "license": "l", "citation": "c", "valid_fraction": 0,
        "sources": [{{"type": "https", "urls": ["{url}"], "sha256": "{digest}", "format": "tar"}}],
        "layout": {{"type": "generic", "audio": "**/*.flac", "speaker": "^(?P<speaker>[^/]+)/"}}}}"""
    )


def test_a_corpus_that_is_fetched_with_a_token_leaves_it_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import hashlib

    content, store = archive(), Store(tmp_path / "store")
    caplog.set_level(logging.DEBUG, "wavlm")
    with serving(content) as server:
        url = server.url("drop_once").replace("http://", f"http://{LOGIN}") + TOKEN
        corpus = Corpus(corpus_of(url, hashlib.sha256(content).hexdigest()))
        store.make(corpus, lambda out: build_corpus(corpus.spec, store.downloads, out, lambda done, total: None))
    assert find_canaries(server.seen[0][0]), "the server is asked with the token"
    assert find_in_files(store.root) == []
    assert find_canaries(caplog.text) == []


@pytest.mark.parametrize("behaviour", ["missing", "stall", "wrong_bytes", "login_page", "redirect_loop", "drop_always"])
def test_a_download_that_fails_tells_no_secret(
    behaviour: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "wavlm")
    policy = RetryPolicy(attempts=2, read_seconds=0.3, slow_seconds=0.3, backoff_seconds=0.01)
    with serving(b" " * 257 + b"ustar" + bytes(20_000)) as server:
        url = server.url(behaviour).replace("http://", f"http://{LOGIN}") + TOKEN
        source = HttpsSource(type="https", urls=(url,), sha256="0" * 64, format="tar")
        with pytest.raises(CodedError) as caught:
            fetch(source, tmp_path, lambda done, total: None, policy)
    assert find_canaries(str(caught.value)) == []
    assert find_canaries(caplog.text) == []
    assert find_in_files(tmp_path) == []


def test_another_token_is_the_same_corpus_and_goes_on_with_its_download(tmp_path: Path) -> None:
    with_token, without = (
        corpus_of(url, "0" * 64) for url in (f"https://{LOGIN}host/a.tar{TOKEN}", "https://host/a.tar")
    )
    assert Corpus(with_token).key == Corpus(without).key
    with serving(b" " * 257 + b"ustar" + bytes(100_000)) as server:
        policy = RetryPolicy(attempts=1, read_seconds=0.3, slow_seconds=0.3)
        for token in ("?token=old", "?token=new"):
            url = server.url("drop_always") + token
            source = HttpsSource(type="https", urls=(url,), sha256="0" * 64, format="tar")
            with pytest.raises(CodedError):
                fetch(source, tmp_path, lambda done, total: None, policy)
        assert server.ranges()[1] not in (None, "bytes=0-")


def test_a_wrong_value_is_shown_without_its_secrets(tmp_path: Path) -> None:
    path = tmp_path / "canary.yaml"
    path.write_text(f"name: canary\nrole: 'ftp://{LOGIN}host/{TOKEN}'\n")
    with pytest.raises(UsageError, match="found 'ftp://host/'") as caught:
        read_corpus(path)
    assert find_canaries(str(caught.value)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://host/a.tar", "https://host/a.tar"),
        ("at https://u:p@host:80/a?token=t; run again", "at https://host:80/a; run again"),
        ("at https://u:p@ss@host/a, or (https://host/b?x=1;y=2#z).", "at https://host/a, or (https://host/b#z)."),
        ("https://u@host?x=/y?z", "https://host"),
        ("postgresql://u:p@host/db", "postgresql://host/db"),
        ("http://127.0.0.1:5000/#/models/a@champion", "http://127.0.0.1:5000/#/models/a@champion"),
        ("https://host/a#access_token=t", "https://host/a"),
        ("models:/name@champion and C://x", "models:/name@champion and C://x"),
        ("'https://u:p@host/a?t=1' 'b?c=1'", "'https://host/a' 'b?c=1'"),
    ],
)
def test_what_is_left_of_an_address(text: str, expected: str) -> None:
    assert without_secrets(text) == expected
