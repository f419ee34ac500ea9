"""Unpack archives safely: only regular files, only inside the folder, only below size limits.

The archive libraries only list members and return bytes; they never extract anything. Modes, owners and times of
members are ignored. Links are never created and never followed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from wavlm.corpus.unpack.deb import deb_members
from wavlm.corpus.unpack.members import (
    UNKNOWN,
    Limits,
    Member,
    UnpackedFile,
    UnpackedFiles,
    explain_damage,
    fold_name,
    no_member,
    write_members,
)
from wavlm.corpus.unpack.one_file import file_members
from wavlm.corpus.unpack.packed import open_clear, open_packed
from wavlm.corpus.unpack.tar import MAGIC, stream_members, tar_members
from wavlm.corpus.unpack.zip import zip_members

__all__ = [
    "PLAINLY",
    "UNKNOWN",
    "Limits",
    "UnpackedFile",
    "UnpackedFiles",
    "Unpacking",
    "below",
    "explain_damage",
    "fold_name",
    "no_member",
    "tar_members",
    "unpack",
    "write_members",
]


@dataclass(frozen=True)
class Unpacking:
    """How an archive is unpacked, besides its format."""

    to: str = ""  # a folder above all members; of one file: its path
    password: str = ""  # of an archive that openssl encrypted
    stays: Callable[[PurePosixPath], bool] = no_member  # members that stay in the archive, if it is a plain tar


PLAINLY = Unpacking()


def unpack(
    archive: Path,
    format: str,  # noqa: A002 - as in the spec
    into: Path,
    limits: Limits | None = None,
    how: Unpacking = PLAINLY,
) -> UnpackedFiles:
    """Write the regular files of an archive below `into`. Running it again gives the same files.

    `format` is `tar`, `tar.gz`, `tar.xz`, `tar.bz2`, `zip`, `deb`, `file` or `file.gz`. No other compression is tried.
    The archive is read once, and its digests are computed meanwhile (of a zip, which is read in two places: before).
    Raises UsageError (DECRYPT_FAILED), and BadDataError with one of the codes

    - TAR_MEMBER_TYPE: a member is a link, device, fifo, or sparse or encrypted file,
    - PATH_ESCAPE, NAME_BAD, DUP_NAME: a name leads outside the folder, is not usable, or was used before,
    - TAR_BOMB: a limit is exceeded,
    - TAR_TRUNCATED, TAR_CORRUPT: the archive ends early or is damaged,
    - DL_NOT_ARCHIVE: the file has another format.

    Files that were written before an error stay. The caller may remove the folder.
    """
    limits = limits or Limits()
    with open_packed(archive) as packed, explain_damage(archive):
        if format == "zip":
            digests = packed.finish()
            return replace(write_members(below(how.to, zip_members(archive, limits)), into, limits), digests=digests)
        clear = open_clear(packed, how.password, archive.name, MAGIC.get(format, b""))
        if format in ("file", "file.gz"):
            members = file_members(clear, format, how.to)
        elif format == "deb":
            members = below(how.to, deb_members(clear, archive, limits))
        else:
            cap = limits.total_for(archive.stat().st_size)
            members = below(how.to, stream_members(clear, format, cap, archive.name, limits))
        if how.password:
            members = (replace(member, offset=UNKNOWN) for member in members)
        found = write_members(members, into, limits, how.stays)
        return replace(found, digests=packed.finish())


def below(folder: str | PurePosixPath, members: Iterator[Member]) -> Iterator[Member]:
    """Members with names below a folder. A name that leads outside still does."""
    for member in members:
        is_free = member.name.startswith("/") or str(folder) in ("", ".")
        yield replace(member, name=member.name if is_free else f"{folder}/{member.name}")
