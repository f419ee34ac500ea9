"""Disks of other machines are recognised by what the kernel says of mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavlm.storage.mounts import is_remote

# As the kernel writes it; the first one is a whole line of proc(5).
LINES = """36 35 98:0 / {root} rw,noatime master:1 - ext3 /dev/root rw,errors=continue
40 36 0:41 / {root}/nfs rw,relatime shared:5 - nfs4 server:/export rw,vers=4.2
41 36 0:42 /a {root}/nfs/local rw - xfs /dev/sdb rw
42 36 0:43 / {root}/lustre rw - lustre 10.0.0.1@tcp:/scratch rw
43 36 0:44 / {root}/with\\040blank rw - fuse.juicefs JuiceFS:lab rw
44 36 0:45 / {root}/twice rw - ext4 /dev/sdc rw
45 44 0:46 / {root}/twice rw - ceph 10.0.0.1:/ rw
"""


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        (".", False),
        ("nfs", True),
        ("nfs/deep/store", True),
        ("nfs/local/store", False),
        ("nfsx", False),
        ("lustre/store", True),
        ("with blank/store", True),
        ("twice", True),
        ("link-to-nfs", True),
    ],
)
def test_the_nearest_mount_says_it(folder: str, expected: bool, tmp_path: Path) -> None:
    for name in ("nfs/deep/store", "nfs/local/store", "nfsx", "lustre/store", "with blank/store", "twice"):
        (tmp_path / "root" / name).mkdir(parents=True)
    (tmp_path / "root" / "link-to-nfs").symlink_to("nfs")
    mounts = tmp_path / "mountinfo"
    mounts.write_text(LINES.format(root=tmp_path / "root"))
    assert is_remote(tmp_path / "root" / folder, mounts) is expected


def test_where_nobody_says_it_a_disk_is_taken_for_our_own(tmp_path: Path) -> None:
    assert not is_remote(tmp_path, tmp_path / "nothing")
    (tmp_path / "empty").touch()
    assert not is_remote(tmp_path, tmp_path / "empty")
    assert not is_remote(Path("/proc"))
