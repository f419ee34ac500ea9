"""Where the database of a temporary Prefect server lies."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from tasks.orchestration import home
from tasks.orchestration.home import prefect_home


@pytest.fixture
def on_a_shared_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of a machine whose stores lie on a server."""
    monkeypatch.setattr(home, "is_remote", lambda _: True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp"


def test_it_lies_in_a_store_of_this_machine(tmp_path: Path) -> None:
    assert prefect_home(tmp_path / "store") == tmp_path / "store" / "prefect"


def test_of_a_store_that_others_see_it_lies_on_this_machine(on_a_shared_disk: Path, tmp_path: Path) -> None:
    found = prefect_home(tmp_path / "store")
    assert found.is_relative_to(on_a_shared_disk)
    assert prefect_home(tmp_path / "store") == found
    assert prefect_home(tmp_path / "other") != found
    (tmp_path / "link").symlink_to("store")
    assert prefect_home(tmp_path / "link") == found
    (folder,) = on_a_shared_disk.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not (tmp_path / "store").exists()


def test_a_folder_that_somebody_else_has_put_there_is_not_used(on_a_shared_disk: Path, tmp_path: Path) -> None:
    (tmp_path / "trap").mkdir()
    (on_a_shared_disk / f"wavlm-{os.getuid()}").symlink_to(tmp_path / "trap")
    assert not Path(os.path.realpath(prefect_home(tmp_path / "store"))).is_relative_to(tmp_path / "trap")
