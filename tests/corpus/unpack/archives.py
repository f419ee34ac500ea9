"""Archives of every format, made in memory."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

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
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def write_archive(tmp_path: Path, blob: bytes) -> Path:
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
