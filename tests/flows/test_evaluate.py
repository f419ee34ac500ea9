"""`wavlm evaluate` and `wavlm results` from the command line, on tones: made, made again, and with a corpus missing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flows.tones import write_tones

pytestmark = pytest.mark.slow
Wavlm = Callable[..., "subprocess.CompletedProcess[str]"]


def test_one_command_scores_a_network_and_a_missing_corpus_stops_only_its_own_task(
    wavlm: Wavlm, tmp_path: Path
) -> None:
    suite = write_tones(tmp_path, {"heard": "tones", "missing": "absent"})
    store, network = tmp_path / "store", f"random:{tmp_path}/networks/tiny.yaml"
    done = wavlm("evaluate", network, suite, "--store", store, "--workers", 1)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "FOLDER_MISSING" in done.stderr
    assert "https://example.org/absent" in done.stderr
    (folder,) = store.glob("evaluation/heard-random-*")
    found = json.loads((folder / "results.json").read_text())
    assert found["test"] == {"utterances": 12, "speakers": 2, "minutes": 0.05}
    assert len(found["layers"]) == 3
    sealed = (folder / "artifact.json").stat().st_mtime_ns
    again = wavlm("evaluate", network, tmp_path / "evaluations/heard.yaml", "--store", store, "--workers", 1)
    assert again.returncode == 0, again.stdout + again.stderr
    assert (folder / "artifact.json").stat().st_mtime_ns == sealed
