"""Archives are unpacked by our rules, whatever they hold."""

import bz2
import gzip
import io
import lzma
import shutil
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from wavlm.errors import BadDataError
from wavlm.unpack import Limits, unpack

FILES = {
    "voice/readme.txt": b"hello",
    "voice/clips/one.wav": bytes(range(256)) * 40,
    "voice/clips/empty.wav": b"",
    "voice/clips/block.wav": b"x" * 1024,
}
NOISE = np.random.Generator(np.random.Philox(3)).bytes(300_000)

Edit = Callable[[tarfile.TarFile], None]


def tar_of(files: dict[str, bytes], edit: Edit | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            add(tar, name, data)
        if edit:
            edit(tar)
    return buffer.getvalue()


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", **fields: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    tar.addfile(info, io.BytesIO(data))


def deb_of(data: bytes, name: str = "data.tar.xz") -> bytes:
    blob = b"!<arch>\n"
    for member, content in (("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), (name, data)):
        blob += f"{member:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        blob += content + b"\n" * (len(content) % 2)
    return blob


def zip_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def written(tmp_path: Path, blob: bytes) -> Path:
    path = tmp_path / "archive"
    path.write_bytes(blob)
    return path


PLAIN = tar_of(FILES)
ARCHIVES = {
    "tar": PLAIN,
    "tar.gz": gzip.compress(PLAIN),
    "tar.bz2": bz2.compress(PLAIN),
    "tar.xz": lzma.compress(PLAIN),
    "zip": zip_of(FILES),
    "deb": deb_of(lzma.compress(PLAIN)),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_every_format_gives_the_same_tree_twice(tmp_path: Path, kind: str) -> None:
    archive = written(tmp_path, ARCHIVES[kind])
    first = unpack(archive, kind, tmp_path / "out")
    assert tree(tmp_path / "out") == FILES
    assert [str(path) for path in first.files] == list(FILES)
    assert unpack(archive, kind, tmp_path / "out") == first
    assert tree(tmp_path / "out") == FILES


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("data.tar", PLAIN),
        ("data.tar.gz", gzip.compress(PLAIN)),
        ("data.tar.zst", pa.Codec("zstd").compress(PLAIN, asbytes=True)),
    ],
)
def test_packages_may_be_compressed_in_several_ways(tmp_path: Path, name: str, data: bytes) -> None:
    unpack(written(tmp_path, deb_of(data, name)), "deb", tmp_path / "out")
    assert tree(tmp_path / "out") == FILES


@pytest.mark.slow
def test_a_package_made_by_dpkg_is_read(tmp_path: Path) -> None:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb")
    built = tmp_path / "built"
    (built / "DEBIAN").mkdir(parents=True)
    (built / "DEBIAN/control").write_text(
        "Package: a\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: a\n"
    )
    for name, data in FILES.items():
        (built / name).parent.mkdir(parents=True, exist_ok=True)
        (built / name).write_bytes(data)
    (built / "voice/link.wav").symlink_to("/etc/passwd")
    package = tmp_path / "a.deb"
    command = ["dpkg-deb", "--root-owner-group", "--build", str(built), str(package)]
    subprocess.run(command, check=True, capture_output=True)
    unpacked = unpack(package, "deb", tmp_path / "out", Limits(links="skip"))
    assert tree(tmp_path / "out") == FILES
    assert unpacked.skipped_links == 1


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
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_members_are_refused_and_nothing_leaves_the_folder(
    tmp_path: Path, case: str
) -> None:
    code, edit = HOSTILE[case]
    with pytest.raises(BadDataError) as caught:
        unpack(written(tmp_path, tar_of(FILES, edit)), "tar", tmp_path / "a" / "out")
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
    unpacked = unpack(
        written(tmp_path, deb_of(data)), "deb", tmp_path / "out", Limits(links="skip")
    )
    assert unpacked.skipped_links == 1
    assert tree(tmp_path / "out") == {**FILES, "voice/door/inside": b"x"}
    assert not (tmp_path / "out/voice/door").is_symlink()


def test_a_link_that_somebody_put_into_the_folder_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/voice").symlink_to(outside)
    with pytest.raises(BadDataError, match="PATH_ESCAPE"):
        unpack(written(tmp_path, tar_of({"voice/a.txt": b"a"})), "tar", tmp_path / "out")
    assert list(outside.iterdir()) == []


def test_modes_and_owners_of_members_are_ignored(tmp_path: Path) -> None:
    blob = tar_of({}, lambda tar: add(tar, "run", b"x", mode=0o6777, uid=12345))
    unpack(written(tmp_path, blob), "tar", tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "out/run").stat().st_mode) & 0o7111 == 0


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
def test_caps_on_size_and_count_hold(
    tmp_path: Path, limits: Limits, files: dict[str, bytes], kind: str
) -> None:
    blob = tar_of(files) if kind == "tar" else zip_of(files)
    with pytest.raises(BadDataError, match="TAR_BOMB"):
        unpack(written(tmp_path, blob), kind, tmp_path / "out", limits)


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
        unpack(written(tmp_path, blob), kind, tmp_path / "out")
    assert sum(len(data) for data in tree(tmp_path / "out").values()) < 17 << 20


def test_a_header_that_claims_gigabytes_is_not_believed(tmp_path: Path) -> None:
    """Extended headers are read at once by the tar library: this one says that it has 8 GiB."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 8 << 30
    with pytest.raises(BadDataError, match="TAR_BOMB"):
        unpack(written(tmp_path, info.tobuf(tarfile.GNU_FORMAT)), "tar", tmp_path / "out")


def test_a_member_that_claims_more_than_is_there_is_truncated(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a.wav")
    info.size = 1 << 30
    blob = info.tobuf() + b"x" * 5120
    with pytest.raises(BadDataError, match="TAR_TRUNCATED"):
        unpack(written(tmp_path, blob), "tar", tmp_path / "out")
    assert tree(tmp_path / "out").keys() <= {".unpacking.partial"}


def test_only_the_compression_that_the_spec_names_is_opened(tmp_path: Path) -> None:
    with pytest.raises(BadDataError):
        unpack(written(tmp_path, gzip.compress(PLAIN)), "tar", tmp_path / "out")
    with pytest.raises(BadDataError):
        unpack(written(tmp_path, PLAIN), "tar.gz", tmp_path / "out")
    assert tree(tmp_path / "out") == {}


# --- damage ---


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_cut_anywhere_is_noticed(tmp_path: Path, kind: str) -> None:
    blob = ARCHIVES[kind]
    end = len(blob) - (8192 if kind == "tar" else 1)  # a tar is padded with blocks of zeros
    cuts = {0, 1, 100, 512, 1024, end, *np.linspace(2, end, 25, dtype=int).tolist()}
    if kind == "tar":
        cuts |= set(range(0, len(PLAIN.rstrip(b"\x00")), 512))
    for cut in sorted(cut for cut in cuts if cut <= end):
        with pytest.raises(BadDataError) as caught:
            unpack(written(tmp_path, blob[:cut]), kind, tmp_path / f"out{cut}")
        assert caught.value.code in {"TAR_TRUNCATED", "TAR_CORRUPT", "DL_NOT_ARCHIVE"}, cut


@pytest.mark.parametrize("kind", ["tar.gz", "tar.bz2", "tar.xz", "zip"])
def test_a_flipped_bit_in_compressed_data_is_noticed(tmp_path: Path, kind: str) -> None:
    files = {"noise.wav": NOISE}
    plain = tar_of(files)
    blob = {
        "tar.gz": gzip.compress(plain),
        "tar.bz2": bz2.compress(plain),
        "tar.xz": lzma.compress(plain),
        "zip": zip_of(files),
    }[kind]
    for position in np.linspace(1000, len(blob) - 1000, 8, dtype=int):
        damaged = bytearray(blob)
        damaged[position] ^= 4
        with pytest.raises(BadDataError, match=r"TAR_(CORRUPT|TRUNCATED)"):
            unpack(written(tmp_path, bytes(damaged)), kind, tmp_path / "out")


def test_a_damaged_header_in_the_middle_does_not_end_the_archive_quietly(tmp_path: Path) -> None:
    second = PLAIN.index(b"voice/clips/one.wav")
    damaged = PLAIN[:second] + b"?" + PLAIN[second + 1 :]
    with pytest.raises(BadDataError, match=r"TAR_(CORRUPT|TRUNCATED)"):
        unpack(written(tmp_path, damaged), "tar", tmp_path / "out")


def test_data_after_the_end_of_an_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match="TAR_CORRUPT"):
        unpack(written(tmp_path, PLAIN + PLAIN), "tar", tmp_path / "out")


def test_a_zip_with_links_or_passwords_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(BadDataError, match="TAR_MEMBER_TYPE"):
        unpack(written(tmp_path, buffer.getvalue()), "zip", tmp_path / "out")
    with pytest.raises(BadDataError, match="PATH_ESCAPE"):
        unpack(written(tmp_path, zip_of({"../escaped": b"x"})), "zip", tmp_path / "out")
    assert tree(tmp_path / "out") == {}


def test_an_unknown_format_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown archive format tar\.lz4"):
        unpack(written(tmp_path, PLAIN), "tar.lz4", tmp_path / "out")
