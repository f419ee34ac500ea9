"""Killed at any point and run again, the stage ends with the same bytes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.corpus.corpora import grow, of_archive, tar_gz_of
from tests.corpus.download.bad_server import serving
from tests.kill import output_of

KILLER = """
import sys
from pathlib import Path

from tests.corpus.corpora import contents
from tests.kill import kill_at_every_event
from wavlm.corpus.build import build_corpus
from wavlm.execution.progress import no_progress
from wavlm.specs import CorpusSpec

spec, work = CorpusSpec.model_validate_json(sys.argv[1]), Path(sys.argv[2])


def build(folder):
    # A killed fork has no fork server, so nothing is fenced.
    build_corpus(spec, folder / "downloads", folder / "out", no_progress, stall_seconds=0)


print(kill_at_every_event(build, lambda folder: contents(folder / "out"), work))
"""


@pytest.mark.slow
def test_killed_at_any_point_and_run_again_it_gives_the_same_bytes(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    blob = tar_gz_of(grow(tmp_path / "raw", ["ann", "bob"], clips=1))
    with serving(blob) as server:
        wanted = of_archive(blob, server.url("good"), valid_fraction=0.3)
        kills = output_of(KILLER, wanted.model_dump_json(), tmp_path / "work")
    record_property("faults", kills.strip())
    assert int(kills) > 20  # points of death
