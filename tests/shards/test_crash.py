"""Killed or out of disk at any point, the stage continues and ends with the same bytes."""

import os
from pathlib import Path

import pytest

from tests.kill import output_of
from tests.shards.corpora import noise_clip, write_corpus

KILLER = """
import sys
from pathlib import Path

import soundfile, webdataset, wavlm.corpus  # before the forks
from tests.kill import kill_at_every_event
from tests.shards.corpora import SPEC, bytes_of
from wavlm.execution.progress import no_progress
from wavlm.shards import build_shards
from wavlm.shards.recordings import Intake

corpus, outs = Path(sys.argv[1]), Path(sys.argv[2])


def build(out):
    build_shards(SPEC, corpus, out, 1, no_progress, Intake(stall_seconds=0))  # a killed fork has no fork server


print(kill_at_every_event(build, bytes_of, outs, whole=True))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_killed_at_every_event_on_files_it_continues_to_the_same_bytes(tmp_path: Path) -> None:
    clips = [noise_clip(f"a-{number}", 1.0, split="train") for number in range(5)]
    corpus = write_corpus(tmp_path / "corpus", [*clips, noise_clip("b-0", 4.0, "ben", "valid")])
    (tmp_path / "outs").mkdir()
    assert int(output_of(KILLER, corpus, tmp_path / "outs")) > 40


FULL_DISK = """
import resource, sys
from pathlib import Path

from tests.shards.corpora import SPEC, bytes_of
from wavlm.errors import CannotWriteError
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
    said = output_of(FULL_DISK, corpus, out)
    assert "DISK_FULL" in said
    assert str(out / "train-000000.tar") in said
    assert said.splitlines()[-1] == "[]"
    assert (out / "shards.json").is_file()
