"""Every format gives back the same tree; a damaged archive gives an error."""

import bz2
import gzip
import lzma
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.corpus.unpack.archives import (
    ARCHIVES,
    FILES,
    NOISE,
    PLAIN,
    deb_of,
    tar_of,
    tree,
    write_archive,
    zip_of,
)
from wavlm.corpus.unpack import Limits, unpack
from wavlm.errors import BadDataError


@pytest.mark.parametrize("kind", ARCHIVES)
def test_every_format_gives_the_same_tree_twice(tmp_path: Path, kind: str) -> None:
    archive = write_archive(tmp_path, ARCHIVES[kind])
    first = unpack(archive, kind, tmp_path / "out")
    assert tree(tmp_path / "out") == FILES
    assert [str(path) for path in first.files] == list(FILES)
    again = unpack(archive, kind, tmp_path / "out")
    assert again.digests == first.digests
    assert {name: (file.bytes, file.sha256) for name, file in again.files.items()} == {
        name: (file.bytes, file.sha256) for name, file in first.files.items()
    }
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
    unpack(write_archive(tmp_path, deb_of(data, name)), "deb", tmp_path / "out")
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


def test_an_unknown_format_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown archive format tar\.lz4"):
        unpack(write_archive(tmp_path, PLAIN), "tar.lz4", tmp_path / "out")


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
            unpack(write_archive(tmp_path, blob[:cut]), kind, tmp_path / f"out{cut}")
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
            unpack(write_archive(tmp_path, bytes(damaged)), kind, tmp_path / "out")


def test_a_damaged_header_in_the_middle_does_not_end_the_archive_quietly(tmp_path: Path) -> None:
    second = PLAIN.index(b"voice/clips/one.wav")
    damaged = PLAIN[:second] + b"?" + PLAIN[second + 1 :]
    with pytest.raises(BadDataError, match=r"TAR_(CORRUPT|TRUNCATED)"):
        unpack(write_archive(tmp_path, damaged), "tar", tmp_path / "out")


def test_data_after_the_end_of_an_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match="TAR_CORRUPT"):
        unpack(write_archive(tmp_path, PLAIN + PLAIN), "tar", tmp_path / "out")
