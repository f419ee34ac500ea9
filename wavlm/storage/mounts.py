"""Whether a folder lies on a disk of another machine, as far as the kernel says."""

from __future__ import annotations

import os
import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")  # proc(5): field 5 is the mount point, the one behind ` - ` the type
# Every type of FUSE counts: most are of networks, and few have memory that processes share.
_REMOTE = re.compile(
    r"nfs4?|cifs|smb3?|smbfs|lustre|gpfs|ceph|beegfs|fhgfs_?\w*|glusterfs|9p|virtiofs|afs|orangefs|pvfs2|panfs|wekafs|"
    r"ocfs2|gfs2|fuse\..*"
)


def is_remote(path: Path, mounts: Path = MOUNTS) -> bool:
    """Whether a path that exists lies on a disk that several machines may see. False where nobody says."""
    real = os.path.realpath(path)
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return False
    found = [_read(line) for line in lines if " - " in line]
    over = [(point, kind) for point, kind in found if real == point or real.startswith(point.rstrip("/") + "/")]
    longest = max((len(point) for point, _ in over), default=0)
    kinds = [kind for point, kind in over if len(point) == longest]
    return bool(kinds) and _REMOTE.fullmatch(kinds[-1]) is not None  # what was mounted last lies above


def _read(line: str) -> tuple[str, str]:
    """Mount point and type. A blank in a name is written as its octal number."""
    before, _, after = line.partition(" - ")
    point = re.sub(r"\\([0-7]{3})", lambda number: chr(int(number[1], 8)), before.split()[4])
    return point, after.split()[0]
