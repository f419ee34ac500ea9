"""Unpack archives safely: only regular files, only inside the folder, only below size limits.

The archive libraries only list members and return bytes; they never extract anything. Modes, owners and times of
members are ignored. Links are never created and never followed.
"""

from __future__ import annotations

from pathlib import Path

from wavlm.corpus.unpack.deb import deb_members
from wavlm.corpus.unpack.members import Limits, UnpackedFile, UnpackedFiles, explain_damage, fold_name, write_members
from wavlm.corpus.unpack.tar import tar_members
from wavlm.corpus.unpack.zip import zip_members

__all__ = [
    "Limits",
    "UnpackedFile",
    "UnpackedFiles",
    "explain_damage",
    "fold_name",
    "tar_members",
    "unpack",
    "write_members",
]


def unpack(archive: Path, format: str, into: Path, limits: Limits | None = None) -> UnpackedFiles:  # noqa: A002 - as in the spec
    """Write the regular files of an archive below `into`. Running it again gives the same files.

    `format` is `tar`, `tar.gz`, `tar.xz`, `tar.bz2`, `zip` or `deb`. No other compression is tried.
    Raises BadDataError with one of the codes

    - TAR_MEMBER_TYPE: a member is a link, device, fifo, or sparse or encrypted file,
    - PATH_ESCAPE, NAME_BAD, DUP_NAME: a name leads outside the folder, is not usable, or was used before,
    - TAR_BOMB: a limit is exceeded,
    - TAR_TRUNCATED, TAR_CORRUPT: the archive ends early or is damaged,
    - DL_NOT_ARCHIVE: the file has another format.

    Files that were written before an error stay. The caller may remove the folder.
    """
    limits = limits or Limits()
    if format == "deb":
        members = deb_members(archive, limits)
    elif format == "zip":
        members = zip_members(archive, limits)
    else:
        members = tar_members(archive, format, limits)
    with explain_damage(archive):
        return write_members(members, into, limits)
