"""Downloads end with the pinned bytes or with an error that says what to do."""

import hashlib
import io
import json
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.bad_server import ETAG, BadServer, serving
from wavlm.download import Patience, fetch, fetch_apt
from wavlm.errors import BadDataError, CodedError, LockedError, ServiceMissingError
from wavlm.files import CannotWriteError
from wavlm.locks import locked
from wavlm.progress import silent
from wavlm.specs import AptSource, HttpsSource

PATIENCE = Patience(
    attempts=3,
    read_seconds=0.4,
    slow_seconds=0.3,
    slow_bytes=2000,
    backoff_seconds=0.01,
    backoff_cap_seconds=0.05,
    lock_seconds=0.2,
)


def archive_of(num_bytes: int = 400_000) -> bytes:
    noise = np.random.Generator(np.random.Philox(7)).bytes(num_bytes)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("noise.bin")
        info.size = num_bytes
        tar.addfile(info, io.BytesIO(noise))
    return buffer.getvalue()


CONTENT = archive_of()


@pytest.fixture
def server() -> Iterator[BadServer]:
    with serving(CONTENT) as server:
        yield server


def source(*urls: str, content: bytes = CONTENT, size: int | None = len(CONTENT)) -> HttpsSource:
    return HttpsSource(
        type="https",
        urls=urls,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=size,
        format="tar",
    )


def published(folder: Path) -> list[str]:
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
    path = fetch(source(server.url(behaviour), size=size), tmp_path, silent, PATIENCE)
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
        fetch(source(url), tmp_path, silent, PATIENCE)
    assert caught.value.code == code
    assert str(server.server_address[1]) in str(caught.value)  # where
    assert ";" in str(caught.value)  # what happened; where; what to do
    assert len(server.seen) == requests
    assert published(tmp_path) == []


def test_a_cut_without_any_known_size_is_found_by_the_digest(
    server: BadServer, tmp_path: Path
) -> None:
    with pytest.raises(BadDataError, match="DL_HASH"):
        fetch(source(server.url("drop_without_length"), size=None), tmp_path, silent, PATIENCE)
    assert published(tmp_path) == []


def test_a_cut_transfer_goes_on_where_it_ended(server: BadServer, tmp_path: Path) -> None:
    fetch(source(server.url("drop_once")), tmp_path, silent, PATIENCE)
    half = len(CONTENT) // 2
    assert server.ranges() == [None, f"bytes={half}-"]
    assert server.seen[1][1]["if-range"] == ETAG
    assert server.sent_bytes == len(CONTENT)  # no byte twice


def test_the_wait_that_a_busy_server_asks_for_is_kept(server: BadServer, tmp_path: Path) -> None:
    patience = Patience(attempts=3, backoff_seconds=0.01)
    start = time.monotonic()
    fetch(source(server.url("busy")), tmp_path, silent, patience)
    assert time.monotonic() - start >= 1.0


def test_wrong_bytes_are_kept_aside_for_inspection(server: BadServer, tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match=r"kept as .*\.bad"):
        fetch(source(server.url("wrong_bytes")), tmp_path, silent, PATIENCE)
    (bad,) = tmp_path.glob("*.bad")
    assert len(bad.read_bytes()) == len(CONTENT)


def test_a_login_page_is_shown_without_its_control_letters(
    server: BadServer, tmp_path: Path
) -> None:
    with pytest.raises(BadDataError, match="Please") as caught:
        fetch(source(server.url("login_page")), tmp_path, silent, PATIENCE)
    assert str(caught.value).isprintable()


def test_a_second_mirror_helps_where_the_first_fails(server: BadServer, tmp_path: Path) -> None:
    urls = (server.url("missing"), server.url("wrong_bytes"), server.url("good"))
    assert fetch(source(*urls), tmp_path, silent, PATIENCE).read_bytes() == CONTENT


def test_all_mirrors_are_named_when_all_fail(server: BadServer, tmp_path: Path) -> None:
    with pytest.raises(CodedError) as caught:
        fetch(source(server.url("missing"), server.url("stall")), tmp_path, silent, PATIENCE)
    assert "/missing/" in str(caught.value)
    assert "/stall/" in str(caught.value)


def test_what_is_here_already_is_not_fetched_again(server: BadServer, tmp_path: Path) -> None:
    wanted = source(server.url("good"))
    first = fetch(wanted, tmp_path, silent, PATIENCE)
    assert fetch(wanted, tmp_path, silent, PATIENCE) == first
    assert len(server.seen) == 1


def test_an_archive_that_was_damaged_on_disk_is_fetched_again(
    server: BadServer, tmp_path: Path
) -> None:
    wanted = source(server.url("good"))
    path = fetch(wanted, tmp_path, silent, PATIENCE)
    path.write_bytes(CONTENT[:-1] + b"?")
    assert fetch(wanted, tmp_path, silent, PATIENCE).read_bytes() == CONTENT
    assert len(list(tmp_path.glob("*.bad"))) == 1


def test_an_md5_pin_is_checked_too(server: BadServer, tmp_path: Path) -> None:
    digest = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    good = HttpsSource(type="https", urls=(server.url("good"),), md5=digest, format="tar")
    bad = HttpsSource(type="https", urls=(server.url("good"),), md5="0" * 32, format="tar")
    assert fetch(good, tmp_path, silent, PATIENCE).name == f"{digest}.tar"
    with pytest.raises(BadDataError, match="DL_HASH"):
        fetch(bad, tmp_path, silent, PATIENCE)


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


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "http://192.0.2.1/corpus.tar", "ftp://192.0.2.1/corpus.tar"]
)
def test_redirects_to_anything_but_https_are_refused(
    server: BadServer, tmp_path: Path, target: str
) -> None:
    server.redirect_to = target
    with pytest.raises(ServiceMissingError, match="DL_INSECURE"):
        fetch(source(server.url("redirect")), tmp_path, silent, PATIENCE)


def test_plain_http_is_refused_outside_this_machine(tmp_path: Path) -> None:
    with pytest.raises(ServiceMissingError, match="DL_INSECURE"):
        fetch(source("http://192.0.2.1/corpus.tar"), tmp_path, silent, PATIENCE)


def test_credentials_do_not_follow_a_redirect_nor_show_in_messages(
    server: BadServer, tmp_path: Path
) -> None:
    with serving(CONTENT) as other:
        server.redirect_to = other.url("missing", host="localhost")
        url = server.url("redirect").replace("//", "//reader:canary@")
        with pytest.raises(ServiceMissingError, match="DL_HTTP") as caught:
            fetch(source(url), tmp_path, silent, PATIENCE)
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
            fetch(source(url), tmp_path / "downloads", silent, PATIENCE)


# --- interruptions, neighbours, full disks ---

FETCH = """
import sys
from pathlib import Path
from wavlm.download import fetch
from wavlm.progress import silent
from wavlm.specs import HttpsSource
source = HttpsSource.model_validate_json(sys.argv[1])
fetch(source, Path(sys.argv[2]), silent)
"""


@pytest.mark.slow
def test_a_killed_download_is_taken_up_by_the_next_process(
    server: BadServer, tmp_path: Path
) -> None:
    wanted = source(server.url("slow"))
    process = subprocess.Popen([sys.executable, "-c", FETCH, wanted.model_dump_json(), tmp_path])
    part = tmp_path / f"{wanted.sha256}.tar.part"
    deadline = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size > 50_000):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    held = part.stat().st_size
    assert 0 < held < len(CONTENT)
    assert fetch(wanted, tmp_path, silent, PATIENCE).read_bytes() == CONTENT
    assert server.ranges() == [None, f"bytes={held}-"]


@pytest.mark.parametrize("damage", ["no side-file", "broken side-file", "other address"])
def test_a_part_that_cannot_be_vouched_for_is_not_continued(
    server: BadServer, tmp_path: Path, damage: str
) -> None:
    wanted = source(server.url("good"))
    part = tmp_path / f"{wanted.sha256}.tar.part"
    part.write_bytes(b"x" * 1000)
    note = part.with_name(f"{part.name}.json")
    if damage == "broken side-file":
        note.write_text("{")
    elif damage == "other address":
        described = {"url": "https://example.org/", "validator": ETAG, "size": len(CONTENT)}
        note.write_text(json.dumps(described))
    assert fetch(wanted, tmp_path, silent, PATIENCE).read_bytes() == CONTENT
    assert server.ranges() == [None]


def test_a_part_of_other_bytes_is_found_out_and_fetched_anew(
    server: BadServer, tmp_path: Path
) -> None:
    wanted = source(server.url("good"))
    part = tmp_path / f"{wanted.sha256}.tar.part"
    part.write_bytes(b"x" * 1000)
    described = {"url": server.url("good"), "validator": ETAG, "size": len(CONTENT)}
    part.with_name(f"{part.name}.json").write_text(json.dumps(described))
    assert fetch(wanted, tmp_path, silent, PATIENCE).read_bytes() == CONTENT
    assert server.ranges() == ["bytes=1000-", None]


def test_a_whole_part_is_checked_and_published_without_asking_anyone(
    server: BadServer, tmp_path: Path
) -> None:
    wanted = source(server.url("good"))
    part = tmp_path / f"{wanted.sha256}.tar.part"
    part.write_bytes(CONTENT)
    described = {"url": server.url("good"), "validator": ETAG, "size": len(CONTENT)}
    part.with_name(f"{part.name}.json").write_text(json.dumps(described))
    assert fetch(wanted, tmp_path, silent, PATIENCE).read_bytes() == CONTENT
    assert server.seen == []


def test_two_downloads_of_one_archive_name_each_other(server: BadServer, tmp_path: Path) -> None:
    wanted = source(server.url("good"))
    with locked(tmp_path / f"{wanted.sha256}.tar.lock", "a test"):  # noqa: SIM117
        with pytest.raises(LockedError, match=r"LOCKED.*process \d+"):
            fetch(wanted, tmp_path, silent, PATIENCE)
    assert fetch(wanted, tmp_path, silent, PATIENCE).read_bytes() == CONTENT


def test_a_disk_that_cannot_hold_the_archive_is_noticed_before_the_first_byte(
    server: BadServer, tmp_path: Path
) -> None:
    with pytest.raises(CannotWriteError, match=r"DISK_FULL: \d+ bytes are needed, \d+ are free"):
        fetch(source(server.url("good"), size=1 << 60), tmp_path, silent, PATIENCE)
    assert server.seen == []


SMALL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"


@pytest.mark.slow
def test_a_disk_that_fills_up_meanwhile_is_named(server: BadServer, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SMALL + FETCH]
    wanted = source(server.url("good"))
    done = subprocess.run(
        [*command, wanted.model_dump_json(), tmp_path], capture_output=True, text=True, check=False
    )
    assert "CannotWriteError" in done.stderr
    assert "DISK_FULL" in done.stderr
    assert fetch(wanted, tmp_path, silent, PATIENCE).read_bytes() == CONTENT


# --- apt: the real one, with an archive of our own on this disk ---


def deb_of(files: dict[str, bytes], package: str, version: str) -> bytes:
    """The smallest package that apt and dpkg accept."""
    control = f"Package: {package}\nVersion: {version}\nArchitecture: all\nMaintainer: a <a@b.c>\n"
    members = [
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", tar_xz({"./control": control.encode() + b"Description: test\n"})),
        ("data.tar.xz", tar_xz(files)),
    ]
    blob = b"!<arch>\n"
    for name, data in members:
        blob += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
        blob += data + b"\n" * (len(data) % 2)
    return blob


def tar_xz(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


DEB = deb_of({"./usr/share/hello.txt": b"hello"}, "test-voice", "1.2-3")


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Debian archive of one package on this disk, and an apt that knows only this one."""
    if shutil.which("apt-get") is None:
        pytest.skip("needs apt-get")
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / "test-voice_1.2-3_all.deb").write_bytes(DEB)
    (folder / "Packages").write_text(
        "Package: test-voice\nVersion: 1.2-3\nArchitecture: all\nMaintainer: a <a@b.c>\n"
        f"Filename: ./test-voice_1.2-3_all.deb\nSize: {len(DEB)}\n"
        f"SHA256: {hashlib.sha256(DEB).hexdigest()}\nDescription: test\n\n"
    )
    machine = tmp_path / "machine"
    for name in ("lists/partial", "parts"):
        (machine / name).mkdir(parents=True)
    sources = machine / "sources.list"
    sources.write_text(f"deb [trusted=yes] copy:{folder} ./\n")
    config = machine / "apt.conf"
    config.write_text(
        f'Dir::Etc::sourcelist "{sources}";\nDir::Etc::sourceparts "{machine / "parts"}";\n'
        f'Dir::State "{machine}";\nAcquire::Languages "none";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(config))
    return folder


def package(blob: bytes = DEB, version: str = "1.2-3", urls: tuple[str, ...] = ()) -> AptSource:
    return AptSource(
        type="apt",
        package="test-voice",
        version=version,
        sha256=hashlib.sha256(blob).hexdigest(),
        size_bytes=len(blob),
        urls=urls,
    )


@pytest.mark.slow
def test_a_package_comes_from_apt_into_private_folders(archive: Path, tmp_path: Path) -> None:
    path = fetch_apt(package(), tmp_path / "downloads", silent, PATIENCE)
    assert path.name == f"{hashlib.sha256(DEB).hexdigest()}.deb"
    assert path.read_bytes() == DEB


@pytest.mark.slow
def test_a_package_that_is_here_needs_no_apt(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch_apt(package(), tmp_path / "downloads", silent, PATIENCE)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fetch_apt(package(), tmp_path / "downloads", silent, PATIENCE).read_bytes() == DEB


@pytest.mark.slow
def test_a_version_that_is_gone_is_answered_with_what_there_is(
    archive: Path, tmp_path: Path
) -> None:
    with pytest.raises(ServiceMissingError, match=r"APT_VERSION.*it has: 1\.2-3"):
        fetch_apt(package(version="1.1-1"), tmp_path / "downloads", silent, PATIENCE)


@pytest.mark.slow
def test_other_bytes_under_the_same_version_lead_to_the_pool(archive: Path, tmp_path: Path) -> None:
    pinned = deb_of({"./usr/share/hello.txt": b"other"}, "test-voice", "1.2-3")
    with serving(pinned) as server:
        wanted = package(pinned, urls=(server.url("good"),))
        path = fetch_apt(wanted, tmp_path / "downloads", silent, PATIENCE)
    assert path.read_bytes() == pinned


@pytest.mark.slow
def test_a_package_that_apt_cannot_fetch_says_what_apt_said(archive: Path, tmp_path: Path) -> None:
    (archive / "test-voice_1.2-3_all.deb").unlink()
    with pytest.raises(ServiceMissingError, match=r"APT_FAILED.*test-voice=1\.2-3.*E:"):
        fetch_apt(package(), tmp_path / "downloads", silent, PATIENCE)


def test_a_machine_without_apt_is_told_which_recipe_to_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServiceMissingError, match=r"APT_MISSING.*mini-librispeech\.yaml"):
        fetch_apt(package(), tmp_path / "downloads", silent, PATIENCE)
