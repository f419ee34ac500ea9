"""Members of archives of any format: their limits, safe names, and how they are written to disk."""

from __future__ import annotations

import hashlib
import lzma
import re
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from wavlm.corpus.audio.held import HELD_BYTES, measure_flac
from wavlm.corpus.unpack.packed import PackedDigests
from wavlm.errors import BadDataError
from wavlm.storage.facts import Facts
from wavlm.storage.files import CHUNK_BYTES, explain_os_errors

MIB = 1 << 20
MAX_NAME_BYTES = 255  # of one part of a path: what file systems take
MAX_PATH_BYTES = 2000  # systems take 4,096 with the folder that it is unpacked into
MAX_DEPTH = 100
UNKNOWN = -1
SHOWN = 80  # letters of such a name in a message
TEMPORARY = ".unpacking.partial"
_RESERVED = re.compile(r"\..*\.partial", re.DOTALL)  # of files of ours that are being written; swept before sealing
# Controls (C0, DEL, C1), line separators, letters that turn what follows around, and halves of letters.
_UNUSABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True)
class Limits:
    """Limits against malicious archives. A speech corpus never reaches them.

    `links`: Debian packages contain links to documentation and fonts. In a package that is pinned by sha256
    links are skipped and counted. In any other archive a link is an error.
    """

    member_bytes: int = 4 << 30
    total_bytes: int = 4 << 40  # the largest known corpus, Libri-Light large, is 3.05 TB
    ratio: float = 100.0  # unpacked to packed; speech comes near 2
    count: int = 5_000_000
    links: Literal["refuse", "skip"] = "refuse"

    def total_for(self, packed_bytes: int) -> int:
        """Largest unpacked size in bytes for an archive of this size; at least 16 MiB."""
        return min(self.total_bytes, max(16 * MIB, int(self.ratio * packed_bytes)))


@dataclass(frozen=True)
class Member:
    """A file of an archive, or a link that is skipped. `read(n)` returns the next n bytes or fewer."""

    name: str
    size_bytes: int  # UNKNOWN: it ends where `read` returns nothing
    read: Callable[[int], bytes]
    is_link: bool = False
    offset: int = UNKNOWN  # where its bytes lie in the archive, as they are


class UnpackedFile(Facts):
    """One file as the archive has it: what was read from there, not what the disk gives back."""

    bytes: int
    sha256: str
    mtime_ns: int = 0  # of the file when it was written; 0: it was left in the archive
    offset: int = UNKNOWN  # where its bytes lie in the archive, as they are
    archive: str = ""  # name of the file that it was left in
    rate_hz: int = 0  # of a FLAC file that is as its header says; 0: nobody has looked
    num_samples: int = 0  # per channel

    @property
    def is_left(self) -> bool:
        """Whether the file was left in its archive."""
        return self.mtime_ns == 0


@dataclass(frozen=True)
class UnpackedFiles:
    """The unpacked files in archive order, by their paths below the folder, and the number of skipped links."""

    files: Mapping[str, UnpackedFile]
    skipped_links: int
    digests: PackedDigests | None = None  # of the archive; None: nobody computed them


def no_member(_: PurePosixPath) -> bool:
    """No member stays in its archive."""
    return False


def write_members(
    members: Iterator[Member],
    into: Path,
    limits: Limits,
    stays: Callable[[PurePosixPath], bool] = no_member,
) -> UnpackedFiles:
    """Write members below `into`, and check names, sizes and their number. Raises BadDataError.

    `stays`: which members are only digested, and stay in their archive, if their bytes lie there as they are.
    """
    into.mkdir(parents=True, exist_ok=True)
    root = into.resolve()
    seen: set[str] = set()
    files: dict[str, UnpackedFile] = {}
    skipped = 0
    for member in members:
        if member.is_link:
            skipped += 1
            continue
        path = safe_path(member.name)
        folded = fold_name(str(path))
        if folded in seen:
            raise BadDataError("DUP_NAME", f"two members of an archive have one name; at {path}; check the archive")
        seen.add(folded)
        if len(seen) > limits.count:
            raise bomb_error(f"more than {limits.count} members", member.name)
        if member.size_bytes > limits.member_bytes:
            raise bomb_error(f"{member.size_bytes} bytes in one member", member.name)
        if member.offset != UNKNOWN and stays(path):
            files[str(path)] = _digest(member)
        else:
            files[str(path)] = _write(member, _resolve_inside(root, path), limits)
    return UnpackedFiles(files, skipped)


def fold_name(path: str) -> str:
    """One spelling for all names that a file system may take for the same."""
    return unicodedata.normalize("NFC", path).casefold()


def safe_path(name: str) -> PurePosixPath:
    """A member's name as a path below the folder. Raises BadDataError (PATH_ESCAPE, NAME_BAD) otherwise."""
    path = PurePosixPath(name)
    if name.startswith("/") or ".." in path.parts or "\\" in name or name[1:2] == ":":
        raise BadDataError(
            "PATH_ESCAPE", f"a member's name leads outside the folder; at {name!r}; do not use this archive"
        )
    if _UNUSABLE.search(name) or not path.parts:
        raise BadDataError("NAME_BAD", f"a member's name cannot be used; at {name[:SHOWN]!a}; check the archive")
    if any(_RESERVED.fullmatch(part) for part in path.parts):
        raise BadDataError(
            "NAME_BAD", f"a member has a name of unfinished files, which are removed; at {name!r}; pack it without it"
        )
    too_long = any(len(part.encode()) > MAX_NAME_BYTES for part in path.parts)
    if too_long or len(name.encode()) > MAX_PATH_BYTES or len(path.parts) > MAX_DEPTH:
        raise BadDataError("NAME_BAD", f"a member's name is too long; at {name[:SHOWN]!a}...; check the archive")
    return path


@contextmanager
def explain_damage(archive: Path) -> Iterator[None]:
    """Turn what the archive libraries raise for a damaged archive into a BadDataError with a code."""
    try:
        yield
    except NotImplementedError as error:  # a zip version or method that Python does not support
        raise BadDataError("TAR_CORRUPT", f"{error}; at {archive}; fetch it again") from error
    except (EOFError, tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error) as error:
        cut = isinstance(error, EOFError) or "unexpected end" in str(error)
        code = "TAR_TRUNCATED" if cut else "TAR_CORRUPT"
        raise BadDataError(code, f"{error}; at {archive}; fetch it again") from error
    except OSError as error:
        if error.errno is not None:  # an error of the disk; errors of bz2, gzip and zstd have no number
            raise
        raise BadDataError("TAR_CORRUPT", f"{error}; at {archive}; fetch it again") from error


def bomb_error(what: str, name: str) -> BadDataError:
    return BadDataError("TAR_BOMB", f"{what}, above the limit; at {name!r}; check the archive")


def _resolve_inside(root: Path, path: PurePosixPath) -> Path:
    """The path to write to. Raises BadDataError if a link that lies below the folder leads outside."""
    target = root / path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise BadDataError(
            "DUP_NAME", f"a file and a folder have one name; at {path.parent}; check the archive"
        ) from error
    if target.parent.resolve() != target.parent or target.is_symlink():
        raise BadDataError("PATH_ESCAPE", f"a link is in the way of {path}; at {root}; remove it")
    if target.is_dir():
        raise BadDataError("DUP_NAME", f"a file and a folder have one name; at {path}; check the archive")
    return target


def _write(member: Member, target: Path, limits: Limits) -> UnpackedFile:
    """Write a file under a temporary name and rename it, so that a file under its final name is complete.

    There is no fsync per file, because a corpus has a hundred thousand files. The caller syncs the disk once,
    before it writes the receipt.
    """
    temporary, seen = target.with_name(TEMPORARY), _Seen(member)
    with explain_os_errors(target):
        with temporary.open("wb") as file:
            for chunk in _chunks(member, limits):
                file.write(chunk)
                seen.add(chunk)
        temporary.replace(target)
        mtime_ns = target.stat().st_mtime_ns
    return seen.describe().model_copy(update={"mtime_ns": mtime_ns})


def _digest(member: Member) -> UnpackedFile:
    seen = _Seen(member)
    for chunk in _chunks(member, Limits()):
        seen.add(chunk)
    return seen.describe().model_copy(update={"offset": member.offset})


class _Seen:
    """What is found out about a member while its bytes go by."""

    def __init__(self, member: Member) -> None:
        self._name, self._digest, self._size = PurePosixPath(member.name).name, hashlib.sha256(), 0
        is_small = 0 < member.size_bytes <= HELD_BYTES
        self._held = bytearray() if is_small and self._name.lower().endswith(".flac") else None

    def add(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self._size += len(chunk)
        if self._held is not None:
            self._held += chunk

    def describe(self) -> UnpackedFile:
        """The file; of a FLAC file that is as its header says, with its length."""
        found = UnpackedFile(bytes=self._size, sha256=self._digest.hexdigest())
        measured = measure_flac(self._held, self._name) if self._held else None
        return found.model_copy(update=measured._asdict()) if measured else found


def _chunks(member: Member, limits: Limits) -> Iterator[bytes]:
    """The bytes of a member. Raises BadDataError (TAR_TRUNCATED, TAR_BOMB)."""
    left = limits.member_bytes if member.size_bytes == UNKNOWN else member.size_bytes
    while left or member.size_bytes == UNKNOWN:
        chunk = member.read(min(CHUNK_BYTES, left + (member.size_bytes == UNKNOWN)))
        if not chunk and member.size_bytes == UNKNOWN:
            return
        if not chunk:
            raise BadDataError(
                "TAR_TRUNCATED", f"the archive ends {left} bytes too early; at {member.name!r}; fetch it again"
            )
        if len(chunk) > left:
            raise bomb_error(f"more than {limits.member_bytes} bytes in one file", member.name)
        yield chunk
        left -= len(chunk)
