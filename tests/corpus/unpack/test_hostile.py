"""No archive can write outside its folder, create links, or fill the disk."""

import gzip
import io
import lzma
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.corpus.unpack.archives import FILES, PLAIN, Edit, add, deb_of, tar_of, tree, write_archive, zip_of
from wavlm.corpus.unpack import Limits, unpack
from wavlm.errors import BadDataError


def with_symlink_through(tar: tarfile.TarFile) -> None:
    add(tar, "voice/door", type=tarfile.SYMTYPE, linkname="..")
    add(tar, "voice/door/escaped", b"x")


HOSTILE: dict[str, tuple[str, Edit]] = {
    "dotdot": ("PATH_ESCAPE", lambda tar: add(tar, "../escaped", b"x")),
    "dotdot inside": ("PATH_ESCAPE", lambda tar: add(tar, "voice/../../escaped", b"x")),
    "absolute": ("PATH_ESCAPE", lambda tar: add(tar, "/escaped", b"x")),
    "backslashes": ("PATH_ESCAPE", lambda tar: add(tar, "..\\escaped", b"x")),
    "drive": ("PATH_ESCAPE", lambda tar: add(tar, "C:escaped", b"x")),
    "symlink": (
        "TAR_MEMBER_TYPE",
        lambda tar: add(tar, "link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    ),
    "symlink and through it": ("TAR_MEMBER_TYPE", with_symlink_through),
    "hard link": (
        "TAR_MEMBER_TYPE",
        lambda tar: add(tar, "link", type=tarfile.LNKTYPE, linkname="voice/readme.txt"),
    ),
    "device": ("TAR_MEMBER_TYPE", lambda tar: add(tar, "null", type=tarfile.CHRTYPE, devmajor=1)),
    "block device": ("TAR_MEMBER_TYPE", lambda tar: add(tar, "disk", type=tarfile.BLKTYPE)),
    "fifo": ("TAR_MEMBER_TYPE", lambda tar: add(tar, "pipe", type=tarfile.FIFOTYPE)),
    "sparse": ("TAR_MEMBER_TYPE", lambda tar: add(tar, "holes", type=tarfile.GNUTYPE_SPARSE)),
    "same name": ("DUP_NAME", lambda tar: add(tar, "voice/readme.txt", b"x")),
    "same name written otherwise": ("DUP_NAME", lambda tar: add(tar, "voice/./readme.txt", b"x")),
    "same name in capitals": ("DUP_NAME", lambda tar: add(tar, "voice/README.txt", b"x")),
    "file where a folder is": ("DUP_NAME", lambda tar: add(tar, "voice/clips", b"x")),
    "folder where a file is": ("DUP_NAME", lambda tar: add(tar, "voice/readme.txt/x", b"x")),
    "newline": ("NAME_BAD", lambda tar: add(tar, "voice/a\nb", b"x")),
    "not utf-8": ("NAME_BAD", lambda tar: add(tar, "voice/\udcff", b"x")),
    "too long": ("NAME_BAD", lambda tar: add(tar, "voice/" + "a" * 300, b"x")),
    "too long in all": ("NAME_BAD", lambda tar: add(tar, "voice/" + "a/" * 90 + ("b" * 200 + "/") * 24 + "c", b"x")),
    "too deep": ("NAME_BAD", lambda tar: add(tar, "voice/" + "a/" * 500 + "c", b"x")),
    "delete": ("NAME_BAD", lambda tar: add(tar, "voice/a\x7fb", b"x")),
    "next line of C1": ("NAME_BAD", lambda tar: add(tar, "voice/a\x85b", b"x")),
    "terminal control of C1": ("NAME_BAD", lambda tar: add(tar, "voice/a\x9b31mb", b"x")),
    "turned around": ("NAME_BAD", lambda tar: add(tar, "voice/a\u202ecalf.exe", b"x")),
    "isolated": ("NAME_BAD", lambda tar: add(tar, "voice/a\u2066b", b"x")),
    "our temporary file": ("NAME_BAD", lambda tar: add(tar, "voice/.unpacking.partial", b"x")),
    "a file that is swept": ("NAME_BAD", lambda tar: add(tar, ".a.partial", b"x")),
    "a folder that is swept": ("NAME_BAD", lambda tar: add(tar, "voice/.a.partial/b", b"x")),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_members_are_refused_and_nothing_leaves_the_folder(tmp_path: Path, case: str) -> None:
    code, edit = HOSTILE[case]
    with pytest.raises(BadDataError) as caught:
        unpack(write_archive(tmp_path, tar_of(FILES, edit)), "tar", tmp_path / "a" / "out")
    assert caught.value.code == code
    assert {path.name for path in tmp_path.iterdir()} <= {"a", "archive"}
    assert {path.name for path in (tmp_path / "a").iterdir()} <= {"out"}
    assert not Path("/escaped").exists()
    for path in (tmp_path / "a").rglob("*"):
        assert stat.S_IFMT(path.lstat().st_mode) in (stat.S_IFREG, stat.S_IFDIR)


def test_links_of_a_package_are_skipped_and_counted_and_never_followed(tmp_path: Path) -> None:
    def edit(tar: tarfile.TarFile) -> None:
        add(tar, "voice/door", type=tarfile.SYMTYPE, linkname="../..")
        add(tar, "voice/door/inside", b"x")

    data = lzma.compress(tar_of(FILES, edit))
    unpacked = unpack(write_archive(tmp_path, deb_of(data)), "deb", tmp_path / "out", Limits(links="skip"))
    assert unpacked.skipped_links == 1
    assert tree(tmp_path / "out") == {**FILES, "voice/door/inside": b"x"}
    assert not (tmp_path / "out/voice/door").is_symlink()


def test_a_link_that_somebody_put_into_the_folder_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/voice").symlink_to(outside)
    with pytest.raises(BadDataError, match="PATH_ESCAPE"):
        unpack(write_archive(tmp_path, tar_of({"voice/a.txt": b"a"})), "tar", tmp_path / "out")
    assert list(outside.iterdir()) == []


def test_modes_and_owners_of_members_are_ignored(tmp_path: Path) -> None:
    blob = tar_of({}, lambda tar: add(tar, "run", b"x", mode=0o6777, uid=12345))
    unpack(write_archive(tmp_path, blob), "tar", tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "out/run").stat().st_mode) & 0o7111 == 0


def test_a_zip_with_links_or_passwords_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(BadDataError, match="TAR_MEMBER_TYPE"):
        unpack(write_archive(tmp_path, buffer.getvalue()), "zip", tmp_path / "out")
    with pytest.raises(BadDataError, match="PATH_ESCAPE"):
        unpack(write_archive(tmp_path, zip_of({"../escaped": b"x"})), "zip", tmp_path / "out")
    assert tree(tmp_path / "out") == {}


def test_a_zip_of_a_version_that_nobody_has_is_refused_with_its_path(tmp_path: Path) -> None:
    blob = bytearray(zip_of({"a": b"x"}))
    blob[blob.rfind(b"PK\x01\x02") + 6] = 99  # version needed: 9.9
    with pytest.raises(BadDataError, match=r"TAR_CORRUPT: zip file version 9\.9; at .*; fetch"):
        unpack(write_archive(tmp_path, bytes(blob)), "zip", tmp_path / "out")


# --- caps ---


@pytest.mark.parametrize(
    ("limits", "files"),
    [
        (Limits(member_bytes=100), {"big": b"x" * 101}),
        (Limits(total_bytes=5000), {"a": b"x" * 3000, "b": b"x" * 3000}),
        (Limits(count=2), {"a": b"", "b": b"", "c": b""}),
    ],
)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_caps_on_size_and_count_hold(tmp_path: Path, limits: Limits, files: dict[str, bytes], kind: str) -> None:
    blob = tar_of(files) if kind == "tar" else zip_of(files)
    with pytest.raises(BadDataError, match="TAR_BOMB"):
        unpack(write_archive(tmp_path, blob), kind, tmp_path / "out", limits)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tar.gz", "tar.xz", "zip"])
def test_a_bomb_is_stopped_by_its_ratio(tmp_path: Path, kind: str) -> None:
    files = {"zeros": bytes(40 << 20)}
    blob = {
        "tar.gz": lambda: gzip.compress(tar_of(files)),
        "tar.xz": lambda: lzma.compress(tar_of(files), preset=0),
        "zip": lambda: zip_of(files),
    }[kind]()
    with pytest.raises(BadDataError, match="TAR_BOMB"):
        unpack(write_archive(tmp_path, blob), kind, tmp_path / "out")
    assert sum(len(data) for data in tree(tmp_path / "out").values()) < 17 << 20


def test_a_header_that_claims_gigabytes_is_not_believed(tmp_path: Path) -> None:
    """The tar library reads an extended header at once. This one announces 8 GiB."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 8 << 30
    with pytest.raises(BadDataError, match="TAR_BOMB"):
        unpack(write_archive(tmp_path, info.tobuf(tarfile.GNU_FORMAT)), "tar", tmp_path / "out")


def test_a_member_that_claims_more_than_is_there_is_truncated(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a.wav")
    info.size = 1 << 30
    blob = info.tobuf() + b"x" * 5120
    with pytest.raises(BadDataError, match="TAR_TRUNCATED"):
        unpack(write_archive(tmp_path, blob), "tar", tmp_path / "out")
    assert tree(tmp_path / "out").keys() <= {".unpacking.partial"}


def test_only_the_compression_that_the_spec_names_is_opened(tmp_path: Path) -> None:
    with pytest.raises(BadDataError):
        unpack(write_archive(tmp_path, gzip.compress(PLAIN)), "tar", tmp_path / "out")
    with pytest.raises(BadDataError):
        unpack(write_archive(tmp_path, PLAIN), "tar.gz", tmp_path / "out")
    assert tree(tmp_path / "out") == {}
