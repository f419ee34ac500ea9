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


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite of two evaluations, of which one has a corpus that is not there."""
    folder = tmp_path_factory.mktemp("tones")
    write_tones(folder, {"heard": "tones", "missing": "absent"})
    return folder


@pytest.fixture(scope="module")
def evaluated(project: Path, wavlm: Wavlm) -> subprocess.CompletedProcess[str]:
    """What the command said, for a network with random weights."""
    network, suite = f"random:{project}/networks/tiny.yaml", project / "suites/tones.yaml"
    return wavlm("evaluate", network, suite, "--store", project / "store", "--workers", 1)


def results_of(project: Path) -> Path:
    (folder,) = (project / "store").glob("evaluation/heard-random-*")
    return folder


def test_a_missing_corpus_stops_only_its_own_task(evaluated: subprocess.CompletedProcess[str], project: Path) -> None:
    assert evaluated.returncode == 2, evaluated.stdout + evaluated.stderr
    assert "FOLDER_MISSING" in evaluated.stderr
    assert "https://example.org/absent" in evaluated.stderr
    found = json.loads((results_of(project) / "results.json").read_text())
    assert found["test"] == {"utterances": 12, "speakers": 2, "minutes": 0.05}
    assert len(found["layers"]) == 3
    assert f"{100 * found['figures'][0]['value']:.2f} %" in evaluated.stdout  # the table ends the run


def test_what_is_complete_is_left_alone(
    evaluated: subprocess.CompletedProcess[str], project: Path, wavlm: Wavlm
) -> None:
    sealed = (results_of(project) / "artifact.json").stat().st_mtime_ns
    network, alone = f"random:{project}/networks/tiny.yaml", project / "evaluations/heard.yaml"
    again = wavlm("evaluate", network, alone, "--store", project / "store", "--workers", 1)
    assert again.returncode == 0, again.stdout + again.stderr
    assert (results_of(project) / "artifact.json").stat().st_mtime_ns == sealed


def test_results_of_a_store_are_rows_in_full_precision_and_a_picture(
    evaluated: subprocess.CompletedProcess[str], project: Path, wavlm: Wavlm
) -> None:
    value = json.loads((results_of(project) / "results.json").read_text())["figures"][0]["value"]
    store, pictures = project / "store", project / "pictures"
    printed = wavlm("results", "--store", store, "--format", "csv", "--layers", pictures, "--published")
    assert printed.returncode == 0, printed.stderr
    rows = list(csv.DictReader(printed.stdout.splitlines()))
    (row, *_), published = ([it for it in rows if (it["source"] == "ours") == is_ours] for is_ours in (True, False))
    assert {it["source"] for it in published} > {"published, v1", "published, readme"}
    assert {it["evaluation"] for it in published} == {""}  # tones compare with nothing
    assert (row["model"], row["evaluation"], float(row["value"])) == ("random", "heard", value)
    assert sorted(path.name for path in pictures.iterdir()) == ["random.csv", "random.png"]
    assert len((pictures / "random.csv").read_text().splitlines()) == 4
    refused = wavlm("results", "--store", store, "--models", "randon")
    assert refused.returncode == 2
    assert "did you mean random" in refused.stderr
