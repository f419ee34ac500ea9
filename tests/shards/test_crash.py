"""Killed or out of disk at any point, the stage continues and ends with the same bytes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shards.corpora import noise_clip, write_corpus

ROOT = Path(__file__).parents[2]

# Forks a child for each n; it kills itself at its n-th event on files. Then the stage runs again in
# the same folder. Ends when a child survives: every event has been a point of death once.
KILLER = """
import os, signal, sys
from pathlib import Path

import wavlm.shards.build
from tests.shards.corpora import SPEC, bytes_of
from wavlm.execution.progress import no_progress
import soundfile, webdataset, wavlm.corpus

corpus, outs = Path(sys.argv[1]), Path(sys.argv[2])
WATCHED = {"open", "os.rename", "os.remove", "os.mkdir", "os.chmod"}


def build(out):
    wavlm.shards.build.build_shards(SPEC, corpus, out, 1, no_progress)


def in_child(work):
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def dying_at(number, out):
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
        sys.addaudithook(hook)
        build(out)

    return work


os.fsync = lambda handle: None  # a killed process loses nothing that it wrote
build(outs / "reference")
reference = bytes_of(outs / "reference")
number = 1
while True:
    out = outs / str(number)
    if in_child(dying_at(number, out)) == 0:
        break
    for path, blob in bytes_of(out).items():
        assert reference[path] == blob, f"half a file {path} after death at event {number}"
    assert in_child(lambda: build(out)) == 0, number
    assert bytes_of(out) == reference, f"other bytes after death at event {number}"
    number += 1
print(number - 1)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_killed_at_every_event_on_files_it_continues_to_the_same_bytes(tmp_path: Path) -> None:
    clips = [noise_clip(f"a-{number}", 1.0, split="train") for number in range(5)]
    corpus = write_corpus(tmp_path / "corpus", [*clips, noise_clip("b-0", 4.0, "ben", "valid")])
    (tmp_path / "outs").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", KILLER, corpus, tmp_path / "outs"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40


FULL_DISK = """
import resource, sys
from pathlib import Path

from tests.shards.corpora import SPEC, bytes_of
from wavlm.storage.files import CannotWriteError
from wavlm.execution.progress import no_progress
from wavlm.shards import build_shards

corpus, out = Path(sys.argv[1]), Path(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
try:
    build_shards(SPEC, corpus, out, 1, no_progress)
except CannotWriteError as error:
    print(error)
print(sorted(bytes_of(out)))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
build_shards(SPEC, corpus, out, 1, no_progress)
"""


@pytest.mark.slow
def test_a_disk_that_fills_up_is_named_and_leaves_nothing_half(tmp_path: Path) -> None:
    clips = [noise_clip(f"a-{number}", 1.0) for number in range(3)]
    corpus, out = write_corpus(tmp_path / "corpus", clips), tmp_path / "out"
    command = [sys.executable, "-c", FULL_DISK, str(corpus), str(out)]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT).stdout
    assert "DISK_FULL" in said
    assert str(out / "train-000000.tar") in said
    assert said.splitlines()[-1] == "[]"
    assert (out / "shards.json").is_file()
