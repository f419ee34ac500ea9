"""`wavlm grow`: a corpus file or a recipe, and what cannot grow."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.folders import add_speakers, write_project

Wavlm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.slow
def test_grow_shows_the_generations_and_compact_tells_the_price(tmp_path: Path, wavlm: Wavlm) -> None:
    recipe = write_project(tmp_path, speakers=("ann", "bob", "cid", "dan", "fay"))
    spec, store = tmp_path / "specs/corpora/voices.yaml", ("--store", tmp_path / "store")
    assert wavlm("grow", spec, *store).returncode == 0
    add_speakers(tmp_path / "wavs", ["gus"])
    done = wavlm("grow", recipe, *store)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[0] for row in rows if row and row[0].isdigit()] == ["1", "2"]
    done = wavlm("grow", spec, "--compact", *store)
    assert "the old one of 2 generations is kept" in done.stdout
    assert "makes all shards and labels of" in " ".join(done.stdout.split())
    assert (tmp_path / "specs/corpora/voices.generations/list.0001.json").is_file()


@pytest.mark.slow
def test_what_cannot_grow_is_refused(tmp_path: Path, wavlm: Wavlm) -> None:
    done = wavlm("grow", "demo", "--store", tmp_path / "store")
    assert done.returncode == 2
    assert done.stderr.startswith("NOTHING_FITS: no corpus grows: ")
    assert not (tmp_path / "store").exists()
