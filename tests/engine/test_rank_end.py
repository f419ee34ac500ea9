"""How a rank ends after its last exchange with the others."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.train import pair

SOURCE = Path(__file__).with_name("late_threads.c")


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="preloads a library of Linux")
def test_a_thread_that_still_holds_a_tensor_aborts_no_rank_that_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranks that ended as Python does by itself were aborted here each time."""
    library = tmp_path / "late.so"
    # libstdc++ is named so that it is there before torch, whose libraries are loaded out of sight.
    command = ["cc", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl", "-Wl,--no-as-needed", "-l:libstdc++.so.6"]
    subprocess.run(command, check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    ranks = pair.start("tests.engine.ending")
    said = [rank.communicate() for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], said
