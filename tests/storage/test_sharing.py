"""What is made in a folder that a group shares can be changed by all of the group."""

from __future__ import annotations

import json
import os
import shutil
import site
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from wavlm.storage.holders import describe_self

ROOT = Path(__file__).parents[2]
GROUP, ANNA, BERT = 12000, 12001, 12002
WORK = """
import sys
from pathlib import Path
from wavlm.storage.files import write_text
from wavlm.storage.locks import hold_lock
from wavlm.storage.sharing import share_with_group

root = Path(sys.argv[1])
share_with_group(root)
with hold_lock(root / "locks" / "one.lock", "it"):
    (root / "made").mkdir(exist_ok=True)
    write_text(root / "made" / "whole.txt", "text")
    with (root / "made" / "log.txt").open("a") as file:
        file.write("line")
"""


def work_as(user: int, root: Path) -> None:
    python = shutil.which(f"python3.{sys.version_info.minor}", path="/usr/bin:/usr/local/bin") or sys.executable
    kept = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", WORK, str(root)],
        cwd="/",
        env={**kept, "PYTHONPATH": os.pathsep.join((str(ROOT), *site.getsitepackages()))},
        user=user,
        group=GROUP,
        extra_groups=[],
        umask=0o022,
        capture_output=True,
        text=True,
        check=False,
    )
    if "ModuleNotFoundError" in done.stderr:
        pytest.skip(f"other users cannot import what is needed: {done.stderr[-100:]}")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder of a user that others reach; pytest's own is root's alone."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as several users")
    folder = Path(tempfile.mkdtemp(prefix="wavlm-sharing-"))
    os.chown(folder, ANNA, GROUP)
    yield folder
    shutil.rmtree(folder)


def test_two_users_write_in_turn_where_the_group_may_write(root: Path) -> None:
    root.chmod(0o770)
    for user in (ANNA, BERT, ANNA):
        work_as(user, root)
    assert root.stat().st_mode & stat.S_ISGID
    for path in root.rglob("*"):
        assert path.stat().st_gid == GROUP
        assert path.stat().st_mode & stat.S_IWGRP, path
    assert (root / "made" / "log.txt").read_text() == 3 * "line"


def test_a_lock_that_a_killed_process_of_another_user_left_is_taken_although_it_can_only_be_read(root: Path) -> None:
    root.chmod(0o755)
    work_as(ANNA, root)
    left = root / "locks" / "one.lock.owner"
    with subprocess.Popen(["true"]) as ended:
        pass
    left.write_text(json.dumps({**json.loads(describe_self("of Anna")), "pid": ended.pid}))
    os.chown(left, ANNA, GROUP)
    left.chmod(0o644)  # nobody shared it
    shutil.rmtree(root / "made")
    for path in (root, *root.rglob("*")):
        if path.is_dir():
            path.chmod(0o2775)
    work_as(BERT, root)
    assert list((root / "locks").iterdir()) == []


def test_a_folder_of_one_user_stays_so(root: Path) -> None:
    root.chmod(0o755)
    work_as(ANNA, root)
    assert not [path for path in (root, *root.rglob("*")) if path.stat().st_mode & stat.S_IWGRP]
