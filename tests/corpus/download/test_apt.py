"""Download packages with the real apt-get, from a local Debian archive of one package."""

import hashlib
import io
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.corpus.download.archives import PATIENCE
from tests.corpus.download.bad_server import serving
from wavlm.corpus.download import fetch_apt
from wavlm.errors import ServiceMissingError
from wavlm.execution.progress import no_progress
from wavlm.specs import AptSource


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
    """A local Debian archive of one package, and apt settings that use only this archive."""
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
    path = fetch_apt(package(), tmp_path / "downloads", no_progress, PATIENCE)
    assert path.name == f"{hashlib.sha256(DEB).hexdigest()}.deb"
    assert path.read_bytes() == DEB


@pytest.mark.slow
def test_a_package_that_is_here_needs_no_apt(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch_apt(package(), tmp_path / "downloads", no_progress, PATIENCE)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fetch_apt(package(), tmp_path / "downloads", no_progress, PATIENCE).read_bytes() == DEB


@pytest.mark.slow
def test_a_version_that_is_gone_is_answered_with_what_there_is(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(ServiceMissingError, match=r"APT_VERSION.*they have: 1\.2-3"):
        fetch_apt(package(version="1.1-1"), tmp_path / "downloads", no_progress, PATIENCE)


@pytest.mark.slow
def test_other_bytes_under_the_same_version_lead_to_the_pool(archive: Path, tmp_path: Path) -> None:
    pinned = deb_of({"./usr/share/hello.txt": b"other"}, "test-voice", "1.2-3")
    with serving(pinned) as server:
        wanted = package(pinned, urls=(server.url("good"),))
        path = fetch_apt(wanted, tmp_path / "downloads", no_progress, PATIENCE)
    assert path.read_bytes() == pinned


@pytest.mark.slow
def test_a_package_that_apt_cannot_fetch_says_what_apt_said(archive: Path, tmp_path: Path) -> None:
    (archive / "test-voice_1.2-3_all.deb").unlink()
    with pytest.raises(ServiceMissingError, match=r"APT_FAILED.*test-voice=1\.2-3.*E:"):
        fetch_apt(package(), tmp_path / "downloads", no_progress, PATIENCE)


def test_a_machine_without_apt_is_told_which_recipe_to_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServiceMissingError, match=r"APT_MISSING.*mini-librispeech\.yaml"):
        fetch_apt(package(), tmp_path / "downloads", no_progress, PATIENCE)
