"""Downloads that are killed, run twice at a time, or fill the disk."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.corpus.download.archives import CONTENT, PATIENCE, source
from tests.corpus.download.bad_server import ETAG, BadServer
from tests.waiting import wait_until
from wavlm.corpus.download import fetch
from wavlm.errors import CannotWriteError, LockedError
from wavlm.execution.progress import no_progress
from wavlm.storage.locks import hold_lock

FETCH = """
import sys
from pathlib import Path
from wavlm.corpus.download import fetch
from wavlm.execution.progress import no_progress
from wavlm.specs import HttpsSource
source = HttpsSource.model_validate_json(sys.argv[1])
fetch(source, Path(sys.argv[2]), no_progress)
"""


@pytest.mark.slow
def test_a_killed_download_is_taken_up_by_the_next_process(server: BadServer, tmp_path: Path) -> None:
    wanted = source(server.url("slow"))
    process = subprocess.Popen([sys.executable, "-c", FETCH, wanted.model_dump_json(), tmp_path])
    part = tmp_path / f"{wanted.sha256}.tar.part"
    wait_until(lambda: part.exists() and part.stat().st_size > 50_000)
    process.send_signal(signal.SIGKILL)
    process.wait()
    held = part.stat().st_size
    assert 0 < held < len(CONTENT)
    assert fetch(wanted, tmp_path, no_progress, PATIENCE).read_bytes() == CONTENT
    assert server.ranges() == [None, f"bytes={held}-"]


@pytest.mark.parametrize("damage", ["no side-file", "broken side-file", "other address"])
def test_a_part_that_cannot_be_vouched_for_is_not_continued(server: BadServer, tmp_path: Path, damage: str) -> None:
    wanted = source(server.url("good"))
    part = tmp_path / f"{wanted.sha256}.tar.part"
    part.write_bytes(b"x" * 1000)
    note = part.with_name(f"{part.name}.json")
    if damage == "broken side-file":
        note.write_text("{")
    elif damage == "other address":
        described = {"url": "https://example.org/", "validator": ETAG, "size": len(CONTENT)}
        note.write_text(json.dumps(described))
    assert fetch(wanted, tmp_path, no_progress, PATIENCE).read_bytes() == CONTENT
    assert server.ranges() == [None]


def test_a_part_of_other_bytes_is_found_out_and_fetched_anew(server: BadServer, tmp_path: Path) -> None:
    wanted = source(server.url("good"))
    part = tmp_path / f"{wanted.sha256}.tar.part"
    part.write_bytes(b"x" * 1000)
    described = {"url": server.url("good"), "validator": ETAG, "size": len(CONTENT)}
    part.with_name(f"{part.name}.json").write_text(json.dumps(described))
    assert fetch(wanted, tmp_path, no_progress, PATIENCE).read_bytes() == CONTENT
    assert server.ranges() == ["bytes=1000-", None]


def test_a_whole_part_is_checked_and_published_without_asking_anyone(server: BadServer, tmp_path: Path) -> None:
    wanted = source(server.url("good"))
    part = tmp_path / f"{wanted.sha256}.tar.part"
    part.write_bytes(CONTENT)
    described = {"url": server.url("good"), "validator": ETAG, "size": len(CONTENT)}
    part.with_name(f"{part.name}.json").write_text(json.dumps(described))
    assert fetch(wanted, tmp_path, no_progress, PATIENCE).read_bytes() == CONTENT
    assert server.seen == []


def test_two_downloads_of_one_archive_name_each_other(server: BadServer, tmp_path: Path) -> None:
    wanted = source(server.url("good"))
    with hold_lock(tmp_path / f"{wanted.sha256}.tar.lock", "a test"):  # noqa: SIM117
        with pytest.raises(LockedError, match=r"LOCKED.*process \d+"):
            fetch(wanted, tmp_path, no_progress, PATIENCE)
    assert fetch(wanted, tmp_path, no_progress, PATIENCE).read_bytes() == CONTENT


def test_a_disk_that_cannot_hold_the_archive_is_noticed_before_the_first_byte(
    server: BadServer, tmp_path: Path
) -> None:
    with pytest.raises(CannotWriteError, match=r"DISK_FULL: \d+ bytes are needed, \d+ are free"):
        fetch(source(server.url("good"), size=1 << 60), tmp_path, no_progress, PATIENCE)
    assert server.seen == []


SMALL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"


@pytest.mark.slow
def test_a_disk_that_fills_up_meanwhile_is_named(server: BadServer, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SMALL + FETCH]
    wanted = source(server.url("good"))
    done = subprocess.run([*command, wanted.model_dump_json(), tmp_path], capture_output=True, text=True, check=False)
    assert "CannotWriteError" in done.stderr
    assert "DISK_FULL" in done.stderr
    assert fetch(wanted, tmp_path, no_progress, PATIENCE).read_bytes() == CONTENT
