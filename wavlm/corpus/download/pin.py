"""The pin of an archive: check its digest, size and first bytes, and publish it under its digest."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Literal

from wavlm.errors import BadDataError, CannotWriteError, LockedError
from wavlm.specs import AptSource, Archive, HttpsSource, MadeSource
from wavlm.storage.files import sync
from wavlm.storage.locks import hold_lock

# First bytes per format. They distinguish an archive from a login page.
_MAGIC = {
    "tar.gz": (0, b"\x1f\x8b"),
    "tar.xz": (0, b"\xfd7zXZ\x00"),
    "tar.bz2": (0, b"BZh"),
    "zip": (0, b"PK"),
    "tar": (257, b"ustar"),
    "deb": (0, b"!<arch>\n"),
    "pt": (0, b"PK"),  # torch.save writes zip files
    "file": (0, b""),  # anything
    "file.gz": (0, b"\x1f\x8b"),
}
_ENCRYPTED = (0, b"Salted__")  # as `openssl enc` writes it
HEAD_BYTES = 512


RUN_AGAIN = "run again, and check the spec if it happens twice"
ACCEPT = (
    "its publisher gives no digest, and this is that of the first download: run again, and if it happens twice the "
    "archive was replaced; to take it as it is now: wavlm pin CORPUS --accept "
)


@dataclass(frozen=True)
class Pin:
    """The expected bytes of an archive."""

    algorithm: Literal["sha256", "md5"]
    digest: str | None  # None: of a first download, whose bytes nobody knows
    size_bytes: int | None  # None: not known
    format: str
    is_of_first_download: bool = False  # nobody but an earlier download says that the digest is right

    @classmethod
    def of(cls, source: Archive) -> Pin:
        """The pin of a source whose digest is known."""
        if isinstance(source, AptSource):
            return cls("sha256", source.sha256, source.size_bytes, "deb")
        if isinstance(source, MadeSource):
            return cls("sha256", source.sha256, None, "tar")
        if source.md5 is not None:
            return cls("md5", source.md5, source.size_bytes, source.packed_as)
        assert source.sha256 is not None  # noqa: S101 - a plan with unknown digests is not run
        is_first = source.digest_from == "first-download"
        return cls("sha256", source.sha256, source.size_bytes, source.packed_as, is_first)

    @classmethod
    def of_unknown(cls, source: HttpsSource) -> Pin:
        """What a first download has to be: of the right format, and of the right size if one is known."""
        return cls("sha256", None, source.size_bytes, source.packed_as)

    @property
    def name(self) -> str:
        return f"{self.digest}.{self.format}"

    def check(self, path: Path) -> None:
        """Raise BadDataError unless the file has the pinned size and digest. Reads all of it."""
        self.check_size(path)
        with path.open("rb") as file:
            self.check_digest(hashlib.file_digest(file, self.algorithm).hexdigest(), path)

    def check_size(self, path: Path) -> None:
        """Raise BadDataError unless the file has the pinned size, if one is known."""
        size = path.stat().st_size
        if self.size_bytes is not None and size != self.size_bytes:
            raise BadDataError(
                "DL_SIZE",
                f"found {size} bytes, expected {self.size_bytes}; at {path}; run again, and check "
                "the spec if it happens twice",
            )

    def check_digest(self, found: str, path: Path) -> None:
        """Raise BadDataError unless a digest that was computed of the file is the pinned one, if one is known."""
        if self.digest is not None and found != self.digest:
            advice = f"{ACCEPT}{found}" if self.is_of_first_download else RUN_AGAIN
            raise BadDataError(
                "DL_HASH", f"found {self.algorithm} {found}, expected {self.digest}; at {path}; {advice}"
            )

    def check_head(self, head: bytes, where: str) -> None:
        """Raise BadDataError if the first bytes are those of another format, most often a web page."""
        start, magic = _ENCRYPTED if self.format.endswith(".aes") else _MAGIC[self.format]
        if head[start : start + len(magic)] != magic:
            shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in head[:80])
            raise BadDataError(
                "DL_NOT_ARCHIVE",
                f"expected a {self.format} file, found '{shown}'; at {where}; open the address in a browser: "
                "it may need a login, or the file has moved",
            )


def is_present(target: Path, pin: Pin, *, hashes: bool = True) -> bool:
    """Whether the archive is already here. One with the wrong bytes is renamed to `.bad` first.

    `hashes`: False if the caller reads all of it in any case and compares its digest then.
    """
    if not target.exists():
        return False
    try:
        if hashes:
            pin.check(target)
        else:
            pin.check_size(target)
    except BadDataError:
        quarantine(target)
        return False
    return True


def publish(part: Path, target: Path) -> Path:
    """Give a checked file its final name, with fsync."""
    sync(part)
    part.replace(target)
    sync(target.parent)
    return target


def quarantine(path: Path) -> Path:
    """Rename a file with the wrong bytes to `.bad`. Returns the new path."""
    bad = path.with_name(f"{path.name.removesuffix('.part')}.bad")
    path.replace(bad)
    return bad


def require_room(folder: Path, missing_bytes: int) -> None:
    """Raise CannotWriteError (DISK_FULL) if the disk has less free space than this."""
    free = shutil.disk_usage(folder).free
    if free < missing_bytes:
        raise CannotWriteError(
            "DISK_FULL", f"{missing_bytes} bytes are needed, {free} are free; at {folder}; free space and run again"
        )


@contextmanager
def hold_archive_lock(target: Path, wait_seconds: float) -> Iterator[None]:
    """Hold the lock of one archive, which two corpora may share. Wait while its holder makes progress.

    Raises LockedError, naming the holder, when the part file has not grown for `wait_seconds`.
    """
    lock = target.with_name(f"{target.name}.lock")
    part = target.with_name(f"{target.name}.part")
    size, since = -1, monotonic()
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(hold_lock(lock, target.name))
                break
            except LockedError:
                now = part.stat().st_size if part.exists() else 0
                if now != size:
                    size, since = now, monotonic()
                if monotonic() - since >= wait_seconds:
                    raise
                sleep(min(0.2, wait_seconds))
        yield
