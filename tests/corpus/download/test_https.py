"""Downloads end with the pinned bytes, or with an error that names the remedy."""

import hashlib
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.corpus.download.archives import CONTENT, PATIENCE, source
from tests.corpus.download.bad_server import ETAG, BadServer, serving
from wavlm.corpus.download import RetryPolicy, fetch
from wavlm.errors import BadDataError, CodedError, ServiceMissingError
from wavlm.execution.progress import no_progress
from wavlm.specs import HttpsSource


def list_published(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".tar")


@pytest.mark.parametrize(
    "behaviour",
    [
        "good",
        "drop_once",
        "drop_once_without_length",
        "range_ignored",
        "wrong_range",
        "range_refused",
        "changed",
        "no_validator",
        "busy",
        "wrong_bytes_once",
    ],
)
@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_server_that_recovers_gives_the_pinned_bytes(
    server: BadServer, tmp_path: Path, behaviour: str, size: int | None
) -> None:
    path = fetch(source(server.url(behaviour), size=size), tmp_path, no_progress, PATIENCE)
    assert path.name == f"{hashlib.sha256(CONTENT).hexdigest()}.tar"
    assert path.read_bytes() == CONTENT
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.parametrize(
    ("behaviour", "code", "requests"),
    [
        ("drop_always", "DL_CUT", 3),
        ("drop_without_length", "DL_SIZE", 3),
        ("always_busy", "DL_HTTP", 3),
        ("missing", "DL_HTTP", 1),
        ("forbidden", "DL_HTTP", 1),
        ("login_page", "DL_NOT_ARCHIVE", 1),
        ("stall", "DL_STALLED", 3),
        ("trickle", "DL_STALLED", 3),
        ("redirect_loop", "DL_HTTP", 6),
        ("wrong_bytes", "DL_HASH", 2),
        ("too_long", "DL_SIZE", 2),
        ("other_size", "DL_SIZE", 2),
    ],
)
def test_a_server_that_stays_bad_gives_a_named_error_and_publishes_nothing(
    server: BadServer, tmp_path: Path, behaviour: str, code: str, requests: int
) -> None:
    url = server.url(behaviour)
    with pytest.raises(CodedError) as caught:
        fetch(source(url), tmp_path, no_progress, PATIENCE)
    assert caught.value.code == code
    assert str(server.server_address[1]) in str(caught.value)  # where
    assert ";" in str(caught.value)  # what happened; where; what to do
    assert len(server.seen) == requests
    assert list_published(tmp_path) == []


def test_a_cut_without_any_known_size_is_found_by_the_digest(server: BadServer, tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match="DL_HASH"):
        fetch(source(server.url("drop_without_length"), size=None), tmp_path, no_progress, PATIENCE)
    assert list_published(tmp_path) == []


def test_a_cut_transfer_goes_on_where_it_ended(server: BadServer, tmp_path: Path) -> None:
    fetch(source(server.url("drop_once")), tmp_path, no_progress, PATIENCE)
    half = len(CONTENT) // 2
    assert server.ranges() == [None, f"bytes={half}-"]
    assert server.seen[1][1]["if-range"] == ETAG
    assert server.sent_bytes == len(CONTENT)  # no byte twice


def test_the_wait_that_a_busy_server_asks_for_is_kept(server: BadServer, tmp_path: Path) -> None:
    retry_policy = RetryPolicy(attempts=3, backoff_seconds=0.01)
    start = time.monotonic()
    fetch(source(server.url("busy")), tmp_path, no_progress, retry_policy)
    assert time.monotonic() - start >= 1.0


def test_wrong_bytes_are_kept_aside_for_inspection(server: BadServer, tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match=r"kept as .*\.bad"):
        fetch(source(server.url("wrong_bytes")), tmp_path, no_progress, PATIENCE)
    (bad,) = tmp_path.glob("*.bad")
    assert len(bad.read_bytes()) == len(CONTENT)


def test_a_login_page_is_shown_without_its_control_letters(server: BadServer, tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match="Please") as caught:
        fetch(source(server.url("login_page")), tmp_path, no_progress, PATIENCE)
    assert str(caught.value).isprintable()


def test_a_second_mirror_helps_where_the_first_fails(server: BadServer, tmp_path: Path) -> None:
    urls = (server.url("missing"), server.url("wrong_bytes"), server.url("good"))
    assert fetch(source(*urls), tmp_path, no_progress, PATIENCE).read_bytes() == CONTENT


def test_all_mirrors_are_named_when_all_fail(server: BadServer, tmp_path: Path) -> None:
    with pytest.raises(CodedError) as caught:
        fetch(source(server.url("missing"), server.url("stall")), tmp_path, no_progress, PATIENCE)
    assert "/missing/" in str(caught.value)
    assert "/stall/" in str(caught.value)


def test_what_is_here_already_is_not_fetched_again(server: BadServer, tmp_path: Path) -> None:
    wanted = source(server.url("good"))
    first = fetch(wanted, tmp_path, no_progress, PATIENCE)
    assert fetch(wanted, tmp_path, no_progress, PATIENCE) == first
    assert len(server.seen) == 1


def test_an_archive_that_was_damaged_on_disk_is_fetched_again(server: BadServer, tmp_path: Path) -> None:
    wanted = source(server.url("good"))
    path = fetch(wanted, tmp_path, no_progress, PATIENCE)
    path.write_bytes(CONTENT[:-1] + b"?")
    assert fetch(wanted, tmp_path, no_progress, PATIENCE).read_bytes() == CONTENT
    assert len(list(tmp_path.glob("*.bad"))) == 1


def test_an_md5_pin_is_checked_too(server: BadServer, tmp_path: Path) -> None:
    digest = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    good = HttpsSource(type="https", urls=(server.url("good"),), md5=digest, format="tar")
    bad = HttpsSource(type="https", urls=(server.url("good"),), md5="0" * 32, format="tar")
    assert fetch(good, tmp_path, no_progress, PATIENCE).name == f"{digest}.tar"
    with pytest.raises(BadDataError, match="DL_HASH"):
        fetch(bad, tmp_path, no_progress, PATIENCE)


@pytest.mark.parametrize("pins", [{}, {"sha256": "0" * 64, "md5": "0" * 32}])
def test_a_source_has_exactly_one_pin(pins: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="exactly one of sha256 and md5"):
        HttpsSource(type="https", urls=("https://example.org/a.tar",), format="tar", **pins)


def test_progress_ends_at_the_size_of_the_archive(server: BadServer, tmp_path: Path) -> None:
    reports: list[tuple[float, float]] = []
    fetch(source(server.url("drop_once")), tmp_path, lambda *at: reports.append(at), PATIENCE)
    assert reports[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in reports] == sorted(done for done, _ in reports)


# --- where a transfer may lead ---


@pytest.mark.parametrize("target", ["file:///etc/passwd", "http://192.0.2.1/corpus.tar", "ftp://192.0.2.1/corpus.tar"])
def test_redirects_to_anything_but_https_are_refused(server: BadServer, tmp_path: Path, target: str) -> None:
    server.redirect_to = target
    with pytest.raises(ServiceMissingError, match="DL_INSECURE"):
        fetch(source(server.url("redirect")), tmp_path, no_progress, PATIENCE)


def test_plain_http_is_refused_outside_this_machine(tmp_path: Path) -> None:
    with pytest.raises(ServiceMissingError, match="DL_INSECURE"):
        fetch(source("http://192.0.2.1/corpus.tar"), tmp_path, no_progress, PATIENCE)


def test_credentials_do_not_follow_a_redirect_nor_show_in_messages(server: BadServer, tmp_path: Path) -> None:
    with serving(CONTENT) as other:
        server.redirect_to = other.url("missing", host="localhost")
        url = server.url("redirect").replace("//", "//reader:canary@")
        with pytest.raises(ServiceMissingError, match="DL_HTTP") as caught:
            fetch(source(url), tmp_path, no_progress, PATIENCE)
        assert "authorization" in server.seen[0][1]
        assert "authorization" not in other.seen[0][1]
        assert "canary" not in str(caught.value)


@pytest.mark.slow
def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    import ssl

    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    with serving(CONTENT) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign] # it is the client's
        url = server.url("good").replace("http://", "https://")
        with pytest.raises(ServiceMissingError, match="DL_TLS"):
            fetch(source(url), tmp_path / "downloads", no_progress, PATIENCE)
