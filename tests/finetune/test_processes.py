"""Fine-tuning as a process: killed anywhere it ends in the same bytes, and two ranks make what one makes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.finetune.made import make_job, make_spec
from wavlm.execution.finetune_job import FinetuneJob, LabelledFolders
from wavlm.execution.launch import run_trainer
from wavlm.finetune.facts import is_tuned, read_finetune
from wavlm.storage.files import write_json

pytestmark = [pytest.mark.full, pytest.mark.numeric]

# SGD, whose steps are as exact as the gradients. Adam divides by them, and there are some that are rounding alone.
SGD = {"optimizer": {"type": "sgd"}, "peak_lr": 0.1, "updates": 3, "dev_every": 3}
STAGES = ({**SGD, "frozen": "all"}, {**SGD, "layer_decay": 0.5})
TOLERANCE = 6 * 0.1 / (1 - 0.9) * 2**-16  # six steps along gradients of length 1 at most, momentum 0.9, rounded


def _run(job: FinetuneJob) -> None:
    write_json(job.out / "job.json", job.model_dump(mode="json"))
    ended = run_trainer(job.out / "job.json", job.runtime, lambda _: None)
    assert ended.exit_code == 0, ended.message


def test_a_killed_process_goes_on_in_the_same_bytes_and_two_ranks_make_the_same(
    words: LabelledFolders, tmp_path: Path
) -> None:
    spec = make_spec(*STAGES)
    alone = make_job(words, tmp_path / "alone", spec, processes=1)
    _run(alone)
    killed = make_job(words, tmp_path / "killed", spec, processes=1)
    write_json(killed.out / "job.json", killed.model_dump(mode="json"))
    process = subprocess.Popen(
        [sys.executable, "-m", "wavlm.finetune", str(killed.out / "job.json")], start_new_session=True
    )
    until = time.monotonic() + 120
    while not list(killed.out.glob("snapshots/step-*")):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not is_tuned(killed)
    _run(killed)
    for name in ("model.safetensors", "head.safetensors", "results.json", "predictions.parquet"):
        assert (killed.out / name).read_bytes() == (alone.out / name).read_bytes(), name
    pair = make_job(words, tmp_path / "pair", spec, processes=2)
    _run(pair)
    assert read_finetune(pair.out).processes == 2
    for name in ("model.safetensors", "head.safetensors"):
        one, two = load_file(alone.out / name), load_file(pair.out / name)
        for key, tensor in one.items():
            assert torch.allclose(tensor, two[key], rtol=0, atol=TOLERANCE), key
    assert not torch.equal(load_file(alone.out / "head.safetensors")["sum.weights"], torch.zeros(3))
