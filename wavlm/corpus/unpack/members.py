"""What every archive format has in common: members, caps on them, and how they are stored."""

from __future__ import annotations

import lzma
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from wavlm.errors import BadDataError
from wavlm.storage.files import CHUNK_BYTES, explain_os_errors

MIB = 1 << 20
MAX_NAME_BYTES = 255  # of one part of a path: what file systems take


@dataclass(frozen=True)
class Limits:
    """Caps that a speech corpus never meets.

    `links`: Debian packages hold links to documentation and fonts; those of a package pinned by
    sha256 are skipped and counted. Anywhere else a link refuses the whole archive.
    """

    member_bytes: int = 4 << 30
    total_bytes: int = 4 << 40  # the largest known corpus, Libri-Light large, is 3.05 TB
    ratio: float = 100.0  # unpacked to packed; speech comes near 2
    count: int = 5_000_000
    links: Literal["refuse", "skip"] = "refuse"

    def total_for(self, packed_bytes: int) -> int:
        """Bytes that an archive of this size may unpack to; a small one may always give 16 MiB."""
        return min(self.total_bytes, max(16 * MIB, int(self.ratio * packed_bytes)))


@dataclass(frozen=True)
class Member:
    """A file of an archive, or a link to be skipped. `read(n)` gives its next bytes."""

    name: str
    size_bytes: int
    read: Callable[[int], bytes]
    is_link: bool = False


@dataclass(frozen=True)
class UnpackedFiles:
    """Files in archive order, relative to the folder, and how many links were left out."""

    files: tuple[PurePosixPath, ...]
    skipped_links: int


def write_members(members: Iterator[Member], into: Path, limits: Limits) -> UnpackedFiles:
    """Write members below `into`, checking names, sizes and count."""
    into.mkdir(parents=True, exist_ok=True)
    root = into.resolve()
    seen: set[str] = set()
    files: list[PurePosixPath] = []
    skipped = 0
    for member in members:
        if member.is_link:
            skipped += 1
            continue
        path = safe_path(member.name)
        folded = unicodedata.normalize("NFC", str(path)).casefold()
        if folded in seen:
            raise BadDataError("DUP_NAME", f"two members are named {path}; check the archive")
        seen.add(folded)
        if len(seen) > limits.count:
            raise bomb_error(f"more than {limits.count} members", member.name)
        if member.size_bytes > limits.member_bytes:
            raise bomb_error(f"{member.size_bytes} bytes in one member", member.name)
        _write(member, _resolve_inside(root, path))
        files.append(path)
    return UnpackedFiles(tuple(files), skipped)


def safe_path(name: str) -> PurePosixPath:
    """A member's name as a path below the folder; raises BadDataError for any other."""
    path = PurePosixPath(name)
    if name.startswith("/") or ".." in path.parts or "\\" in name or name[1:2] == ":":
        raise BadDataError("PATH_ESCAPE", f"a member wants to lie outside the folder: {name!r}; do not use it")
    unusable = any(ord(letter) < 32 or 0xD800 <= ord(letter) < 0xE000 for letter in name)
    if unusable or not path.parts:
        raise BadDataError("NAME_BAD", f"a member's name cannot be used: {name!r}")
    if any(len(part.encode()) > MAX_NAME_BYTES for part in path.parts):
        raise BadDataError("NAME_BAD", f"a member's name is too long: {name[:80]!r}...")
    return path


@contextmanager
def explain_damage(archive: Path) -> Iterator[None]:
    """Give what the archive libraries raise for a damaged archive a code."""
    try:
        yield
    except NotImplementedError as error:  # a zip file of a version or method that Python has not
        raise BadDataError("TAR_CORRUPT", f"{error}; at {archive}; fetch it again") from error
    except (EOFError, tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error) as error:
        cut = isinstance(error, EOFError) or "unexpected end" in str(error)
        code = "TAR_TRUNCATED" if cut else "TAR_CORRUPT"
        raise BadDataError(code, f"{error}; at {archive}; fetch it again") from error
    except OSError as error:
        if error.errno is not None:  # a disk's complaint; bz2, gzip and zstd give no number
            raise
        raise BadDataError("TAR_CORRUPT", f"{error}; at {archive}; fetch it again") from error


def bomb_error(what: str, name: str) -> BadDataError:
    return BadDataError("TAR_BOMB", f"{what}, above the cap; at {name!r}; check the archive")


def _resolve_inside(root: Path, path: PurePosixPath) -> Path:
    """Where to write. A link below the folder, left by someone else, must not lead outside."""
    target = root / path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise BadDataError("DUP_NAME", f"a file and a folder are both named {path.parent}") from error
    if target.parent.resolve() != target.parent or target.is_symlink():
        raise BadDataError("PATH_ESCAPE", f"a link is in the way of {path}; at {root}; remove it")
    if target.is_dir():
        raise BadDataError("DUP_NAME", f"a file and a folder are both named {path}")
    return target


def _write(member: Member, target: Path) -> None:
    """Written under a temporary name of the folder and renamed: what has the name is whole.

    Without fsync: a corpus is a hundred thousand files, and its receipt comes after all of them.
    """
    temporary = target.with_name(".unpacking.partial")
    with explain_os_errors(target):
        with temporary.open("wb") as file:
            left = member.size_bytes
            while left:
                chunk = member.read(min(CHUNK_BYTES, left))
                if not chunk:
                    raise BadDataError(
                        "TAR_TRUNCATED",
                        f"the archive ends {left} bytes before the end of {member.name!r}; fetch it again",
                    )
                file.write(chunk)
                left -= len(chunk)
        temporary.replace(target)
