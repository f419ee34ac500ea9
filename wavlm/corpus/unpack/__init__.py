"""Archives into folders by our own rules: regular files only, inside the folder, within caps.

The archive libraries are asked for members and bytes and never extract anything themselves. Modes,
owners and times of members are ignored; links are never created and never followed.
"""

from __future__ import annotations

from pathlib import Path

from wavlm.corpus.unpack.deb import deb_members
from wavlm.corpus.unpack.members import Limits, UnpackedFiles, explain_damage, write_members
from wavlm.corpus.unpack.tar import tar_members
from wavlm.corpus.unpack.zip import zip_members

__all__ = ["Limits", "UnpackedFiles", "unpack"]


def unpack(archive: Path, format: str, into: Path, limits: Limits | None = None) -> UnpackedFiles:  # noqa: A002 - as in the spec
    """Write the regular files of an archive below `into`; the same tree however often it is run.

    `format` is `tar`, `tar.gz`, `tar.xz`, `tar.bz2`, `zip` or `deb`; no other compression than the
    named one is opened. Raises BadDataError with one of the codes

    - TAR_MEMBER_TYPE: a link, device, fifo, sparse or encrypted member,
    - PATH_ESCAPE, NAME_BAD, DUP_NAME: a name outside the folder, unusable, or taken already,
    - TAR_BOMB: a cap of `limits` is exceeded,
    - TAR_TRUNCATED, TAR_CORRUPT: the archive ends early or is damaged,
    - DL_NOT_ARCHIVE: not of this format at all.

    Files that were written before an error stay; the folder is the caller's to throw away.
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
