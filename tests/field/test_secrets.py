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

from tasks.registry.cause import cause_of
from tests.corpus.download.bad_server import serving
from wavlm.corpus.build import build_corpus
from wavlm.corpus.download import RetryPolicy, fetch
from wavlm.errors import CodedError, UsageError
from wavlm.errors.secrets import login_of, without_secrets, without_secrets_in
from wavlm.pipeline.artifacts import Corpus
from wavlm.pipeline.registration import RegistrationFacts, configured_registry, place_of
from wavlm.pipeline.store import Store
from wavlm.specs import CorpusSpec, HttpsSource
from wavlm.specs.yaml import read_corpus

CANARIES = ("canary-user", "canary-word", "canary-token")
LOGIN, TOKEN = "canary-user:it's-canary-word@", "?token=it's-canary-token;x=canary-token"  # ' needs no encoding


PASSWORDS = ("it's", 'a"b', "p/ss", "12/34", "p#ss", "p?ss", "a<b>c", "a)", "a;", "p@ss", "p@s/s")


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
    is_begun = behaviour not in ("missing", "redirect_loop")  # else nothing came that could be kept
    assert any(path.is_file() for path in tmp_path.rglob("*")) == is_begun
    assert not is_begun or find_in_files(tmp_path) == []


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
    path.write_text(f'name: canary\nrole: "ftp://{LOGIN}host/{TOKEN}"\n')
    with pytest.raises(UsageError, match='found "ftp://host/"') as caught:
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
        *((f"at https://u:{password}@host/a", "at https://host/a") for password in PASSWORDS),
        ("at postgresql://u:p/ss@host/db", "at postgresql://host/db"),
        ("https://host/a?sig=ab'cd and https://host/it's?sig=x", "https://host/a and https://host/it's"),
        ("url: 'https://u:it''s@host/a'", "url: 'https://host/a'"),
        ('{"url":"https://host?sig=a","by":"me@host"}', '{"url":"https://host","by":"me@host"}'),
        ("https://a.org/b,https://u:p@c.org/d", "https://a.org/b,https://c.org/d"),
        ("http://registry:5000/#/models/a@champion", "http://registry:5000/#/models/a@champion"),
        ("https://host.org/a@1.2/b and s3://host/a@1", "https://host.org/a@1.2/b and s3://host/a@1"),
    ],
)
def test_what_is_left_of_an_address(text: str, expected: str) -> None:
    assert without_secrets(text) == expected


@pytest.mark.parametrize("password", PASSWORDS)
def test_what_is_left_of_a_text_that_is_an_address(password: str) -> None:
    """Nothing around it has to be told from it, so any sign may stand at its end."""
    for end in ("", "'", "',", ")", '"}', ">;"):
        assert without_secrets_in(f"https://u:{password}@host/a?sig={password}{end}") == "https://host/a"
        assert login_of(f"https://u:{password}@host/a?sig={password}{end}") == f"u:{password}"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("postgresql://host/db?user=u&password=canary-word", "postgresql://host/db"),
        ("postgresql://u:canary/word@host/db", "postgresql://host/db"),
        ("mysql+pymysql://u:canary#word@host:3306/db", "mysql+pymysql://host:3306/db"),
        ("jdbc:postgresql://host/db?password=canary-word", "jdbc:postgresql://host/db"),
        ("u:canary-word@host:5000", "host:5000"),
        ("sqlite:////data/me@host/mlflow.db", "sqlite:////data/me@host/mlflow.db"),
        ("databricks", "databricks"),
    ],
)
def test_what_is_left_of_the_address_of_a_registry(
    address: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert configured_registry(tmp_path) == expected


def test_a_registration_that_was_recorded_with_a_query_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = "postgresql://host/db?sslmode=require"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    facts = RegistrationFacts(
        name="n", version=1, run_id="r", uri=address, source="s3://a", sha256="0" * 64, aliases=(), champion=""
    )
    assert place_of(facts) == configured_registry(tmp_path)


def test_what_a_database_says_is_shown_without_the_password() -> None:
    for address in ("postgresql://u:canary/word@h/db", "postgresql://h/db?user=u&password=canary/word"):
        assert cause_of(OSError("no login with canary/word"), address) == "no login with ***"
