"""Which disks a command watches: of its store, and of what the command line names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

import flows.cli.options
from flows.cli.main import MOST_PLACES, _find_places, app


def test_the_store_is_watched_as_long_as_the_command_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    @contextmanager
    def watch(path: Path) -> Iterator[None]:
        seen.append(f"begin {path}")
        yield
        seen.append("end")

    monkeypatch.setattr(flows.cli.options, "watch_disk", watch)
    done = CliRunner().invoke(app, ["status", "--store", str(tmp_path)])
    assert done.exit_code == 0
    assert seen == [f"begin {tmp_path}", "end"]


def test_files_and_folders_of_a_command_line_are_watched_and_addresses_are_not() -> None:
    words = ["push", "a/recipe.yaml", "--store=x/y", "s3://bucket/place", "name@champion", "/data/speech"]
    assert _find_places(words) == [Path("a/recipe.yaml"), Path("/data/speech"), Path("a"), Path("/data")]


def test_of_thousands_of_recordings_only_the_folders_are_watched() -> None:
    found = _find_places(["diarize", *(f"calls/{number}.wav" for number in range(5000))])
    assert len(found) == MOST_PLACES + 1
    assert found[-1] == Path("calls")
