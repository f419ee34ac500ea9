"""A system of speaker verification from training to use: it keeps its cohort, and compares voices as its scores did."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile as sf

from tests.corpus.corpora import of_folder
from tests.evaluation.reference.values import ECAPA
from tests.finetune.made import make_job, make_spec
from wavlm.corpus.build import build_corpus
from wavlm.engine.ranks import join_ranks
from wavlm.errors import BadDataError, UsageError
from wavlm.evaluation.results.facts import read_results
from wavlm.execution.finetune_job import LabelledFolders
from wavlm.execution.progress import no_progress
from wavlm.execution.runtime import Runtime
from wavlm.execution.stop import StopRequest
from wavlm.finetune.facts import PREDICTIONS_FILE, SCORING_FILE, is_tuned
from wavlm.finetune.loop import tune
from wavlm.shards import build_shards
from wavlm.shards.recordings import Intake
from wavlm.specs.layouts import GenericLayout
from wavlm.systems.verification import load_verifier

PITCHES_HZ = (90, 120, 155, 195, 240, 290, 345, 405)  # a voice each
LAYOUT = GenericLayout(type="generic", audio="**/*.flac", speaker="^(?P<speaker>[a-z])/")
HEAD = {"type": "ecapa", **ECAPA, "loss": {"margin": [[2, 0.0], [8, 0.2]], "top_k": 2, "penalty": [[0, 0.1]]}}


def voice(speaker: int, number: int, seconds: float = 0.6) -> np.ndarray:
    """Harmonics of the speaker's pitch with other strengths in each recording."""
    rng = np.random.default_rng(100 * speaker + number)
    times_s = np.arange(round(16000 * seconds)) / 16000
    waves = [rng.uniform(0.2, 1) * np.sin(2 * np.pi * PITCHES_HZ[speaker] * n * times_s) for n in range(1, 6)]
    return (0.1 * sum(waves) + 0.01 * rng.normal(size=len(times_s))).astype(np.float32)


def make_voices(root: Path) -> LabelledFolders:
    for speaker, name in enumerate("abcdefgh"):
        (root / "raw" / name).mkdir(parents=True)
        for number in range(4):
            sf.write(root / "raw" / name / f"{number}.flac", voice(speaker, number), 16000)
    spec = of_folder(root / "raw", LAYOUT, role="evaluation", max_left_out=0.0)
    intake = Intake(spec.channels, spec.role, root=root / "raw")
    build_corpus(spec, root / "downloads", root / "corpus", no_progress)
    build_shards(make_spec().shards, root / "corpus", root / "shards", 1, no_progress, intake)
    return LabelledFolders(name="voices", corpus=root / "corpus", shards=root / "shards")


def tune_verifier(data: LabelledFolders, out: Path, centers: int = 1, **task: Any) -> Path:
    """Two stages on filter banks, the second with a large margin and without the penalty. centers: of the second."""
    given = {"type": "asv", "min_train_seconds": 0.2, "speeds": [0.9], "best_on_test": False, "max_trials": 100}
    spec = make_spec(
        {"updates": 12, "frozen": "all", "dev_every": 12, "peak_lr": 5e-3, "crop_seconds": 0.5},
        {
            "updates": 2,
            "frozen": "all",
            "dev_every": 2,
            "head": {"loss": {"margin": [[0, 0.5]], "sub_centers": centers}},
        },
        task=given | task,
        head=HEAD,
        baseline={"type": "fbank"},
        corpora=[of_folder(Path("x"), LAYOUT, role="evaluation", max_left_out=0.0)],
        split={"type": "speakers", "dev": 0.25, "test": 0.25},
    )
    job = make_job(data, out, spec)
    with StopRequest() as stop, join_ranks(Runtime(threads=1)) as ranks:
        tune(job, ranks, stop)
    assert is_tuned(job)
    return out


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> LabelledFolders:
    return make_voices(tmp_path_factory.mktemp("voices"))


@pytest.fixture(scope="module")
def folder(data: LabelledFolders, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tune_verifier(data, tmp_path_factory.mktemp("system"), scoring={"cohort": 3, "calibration": "train"})


def test_a_stage_that_changes_the_shape_of_the_head_is_refused_before_training(
    data: LabelledFolders, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"HEAD_SHAPE: stage 2 has margins.speakers \(16, 7\), stage 1 has \(8, 7\)"):
        tune_verifier(data, tmp_path / "out", centers=2)
    assert not (tmp_path / "out" / "metrics.jsonl").exists()


def recording_of(data: LabelledFolders, key: str) -> np.ndarray:
    name = key.partition("/")[2].replace("__", "/")
    found: np.ndarray = sf.read(data.corpus.parent / "raw" / f"{name}.flac", dtype="float32")[0]
    return found


def test_embeddings_and_scores_in_use_are_those_of_the_test_part(data: LabelledFolders, folder: Path) -> None:
    verifier = load_verifier(folder)
    assert verifier.back_end is not None
    cohort = verifier.back_end.cohort
    assert len(cohort.speakers) == 4  # of the train part, without the slower voices
    rows = {row["key"]: json.loads(row["prediction"]) for row in pq.read_table(folder / PREDICTIONS_FILE).to_pylist()}
    vectors = {key: np.array(vector) - cohort.mean for key, vector in rows.items()}
    first, *others = sorted(rows)
    wave = recording_of(data, first)
    assert np.allclose(verifier.embed(wave), vectors[first] / np.linalg.norm(vectors[first]), atol=1e-5)
    for other in others:
        match = verifier.verify(wave, recording_of(data, other))
        lengths = np.linalg.norm(vectors[first]) * np.linalg.norm(vectors[other])
        assert match.cosine == pytest.approx(float(vectors[first] @ vectors[other] / lengths), abs=1e-5)
        assert match.is_same is (match.score > 0)
    names = [figure.name for figure in read_results(folder).figures]
    assert names == ["eer", "min_dcf", "eer_as_norm", "min_dcf_as_norm", "eer_qmf", "min_dcf_qmf"]


def test_without_calibration_nothing_is_decided(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "s")
    (tmp_path / "s" / SCORING_FILE).unlink()
    verifier = load_verifier(tmp_path / "s")
    waves = [voice(0, 0), voice(1, 0)]
    match = verifier.verify(*waves)
    assert (match.score, match.is_same) == (match.cosine, None)
    assert np.linalg.norm(verifier.embed(waves[0])) == pytest.approx(1)


def test_a_recording_that_is_too_short_to_embed_is_refused(folder: Path) -> None:
    with pytest.raises(BadDataError, match="UTTERANCE_SHORT: found 500 samples, expected 560 or more"):
        load_verifier(folder).embed(np.zeros(500, np.float32))


def test_damaged_scoring_and_systems_of_other_tasks_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "s")
    (tmp_path / "s" / SCORING_FILE).write_bytes(b"nothing")
    with pytest.raises(BadDataError, match="RECORD_BROKEN: what scores were learned from cannot be read"):
        load_verifier(tmp_path / "s")
    head = json.loads((tmp_path / "s/head.json").read_text())
    head |= {"task": {"type": "ks"}, "head": {"type": "pooled_linear"}, "learned": ["a", "b"]}
    (tmp_path / "s/head.json").write_text(json.dumps(head))
    with pytest.raises(UsageError, match="SYSTEM_UNKNOWN: found a system of the task ks, expected one of asv"):
        load_verifier(tmp_path / "s")
