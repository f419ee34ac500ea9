"""Killed at any point and run again, the stage ends with the same bytes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.corpus.corpora import grow, of_archive, tar_gz_of
from tests.corpus.download.bad_server import serving

ROOT = Path(__file__).parents[2]

# Forks a child for each n, which dies at its n-th event on files; then the stage runs again in the
# same folders. Ends when a child survives: every event was a point of death once.
KILLER = """
import os, signal, sys
from pathlib import Path

from tests.corpus.corpora import contents
from wavlm.corpus.build import build_corpus
from wavlm.execution.progress import no_progress
from wavlm.specs import CorpusSpec

spec, work = CorpusSpec.model_validate_json(sys.argv[1]), Path(sys.argv[2])
WATCHED = {"open", "os.rename", "os.remove", "os.mkdir", "os.chmod"}


def build(folder):
    build_corpus(spec, folder / "downloads", folder / "out", no_progress)


def in_child(work):
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def dying_at(number, folder):
    def work():
        seen = 0

        def count():
            nonlocal seen
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

        def hook(event, arguments):
            writes = event != "open" or (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
            if event in WATCHED and writes:
                count()

        os.fsync = lambda handle: count()
        os.sync = count
        sys.addaudithook(hook)
        build(folder)

    return work


os.fsync = lambda handle: None  # a killed process loses nothing that it wrote
os.sync = lambda: None
build(work / "reference")
reference = contents(work / "reference/out")
number = 1
while in_child(dying_at(number, work / str(number))):
    assert in_child(lambda: build(work / str(number))) == 0, number
    assert contents(work / str(number) / "out") == reference, f"after death at event {number}"
    number += 1
print(number - 1)
"""


@pytest.mark.slow
def test_killed_at_any_point_and_run_again_it_gives_the_same_bytes(tmp_path: Path) -> None:
    blob = tar_gz_of(grow(tmp_path / "raw", ["ann", "bob"], clips=1))
    with serving(blob) as server:
        wanted = of_archive(blob, server.url("good"), valid_fraction=0.3)
        done = subprocess.run(
            [sys.executable, "-c", KILLER, wanted.model_dump_json(), tmp_path / "work"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20  # points of death
