"""`wavlm evaluate` and `wavlm results` from the command line, on tones: made, made again, and with a corpus missing."""

from __future__ import annotations

import csv
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


def test_results_of_a_store_are_a_table_a_row_per_figure_and_a_picture(wavlm: Wavlm, tmp_path: Path) -> None:
    suite = write_tones(tmp_path, {"heard": "tones"})
    store, network = tmp_path / "store", f"random:{tmp_path}/networks/tiny.yaml"
    done = wavlm("evaluate", network, suite, "--store", store, "--workers", 1)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = store.glob("evaluation/heard-random-*")
    value = json.loads((folder / "results.json").read_text())["figures"][0]["value"]
    pictures = tmp_path / "pictures"
    printed = wavlm("results", "--store", store, "--format", "csv", "--layers", pictures)
    assert printed.returncode == 0, printed.stderr
    (row,) = csv.DictReader(printed.stdout.splitlines())
    assert (row["model"], row["evaluation"], float(row["value"])) == ("random", "heard", value)
    assert sorted(path.name for path in pictures.iterdir()) == ["random.csv", "random.png"]
    assert len((pictures / "random.csv").read_text().splitlines()) == 4
    refused = wavlm("results", "--store", store, "--models", "randon")
    assert refused.returncode == 2
    assert "did you mean random" in refused.stderr
