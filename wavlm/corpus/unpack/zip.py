"""Read members of zip archives."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

from wavlm.corpus.unpack.members import Limits, Member, bomb_error
from wavlm.errors import BadDataError

ENCRYPTED = 0x1


def zip_members(archive: Path, limits: Limits) -> Iterator[Member]:
    """Regular files of a zip file, stored or deflated. Reading a member checks its checksum."""
    cap = limits.total_for(archive.stat().st_size)
    with zipfile.ZipFile(archive) as opened:
        total = 0
        for info in opened.infolist():
            if info.is_dir():
                continue
            _require_regular(info, archive)
            total += info.file_size
            if total > cap:
                raise bomb_error(f"more than {cap} bytes unpacked", info.filename)
            with opened.open(info) as content:
                yield Member(info.filename, info.file_size, content.read)
                if content.read(1):  # reading to the end checks the checksum
                    raise bomb_error("more bytes than its header announces", info.filename)


def _require_regular(info: zipfile.ZipInfo, archive: Path) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)  # 0 if the archive was not made on Unix
    if kind not in (0, stat.S_IFREG) or info.flag_bits & ENCRYPTED:
        raise BadDataError(
            "TAR_MEMBER_TYPE",
            f"a member is not a regular file, or is encrypted; at {info.filename!r} in {archive.name}; do not use it",
        )
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BadDataError(
            "TAR_MEMBER_TYPE",
            f"compression {info.compress_type} is not supported; at {info.filename!r} in {archive.name}; pack it again",
        )
