"""One training in a process of its own: a shipped small system on the speech at hand, or the same without training.

"Untrained" is the same spec in one update with a rate of 1e-30: the head has the random weights that training begins
with, and the network is the model as it was registered.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.learn.material import corpus_of
from wavlm.errors import BadDataError
from wavlm.execution.finetune_job import FinetuneJob, LabelledFolders
from wavlm.execution.job import StartWeights
from wavlm.execution.runtime import Runtime
from wavlm.finetune.facts import FinetuneFacts, read_finetune
from wavlm.nn.description import WEIGHTS_FILE
from wavlm.specs.evaluation import FbankBaseline
from wavlm.specs.finetune import FinetuneSpec
from wavlm.specs.identity import canonical
from wavlm.specs.schedules import ConstantRate
from wavlm.specs.system_file import read_finetune as read_spec
from wavlm.storage.files import sha256_of, write_text

ROOT = Path(__file__).parents[2]
FINETUNES = ROOT / "data_specs" / "finetunes"
NO_RATE = 1e-30  # a weight that an update moves by it stays the same number


@dataclass(frozen=True)
class Trained:
    """A finished training, and what it took."""

    folder: Path
    facts: FinetuneFacts
    minutes: float  # by the clock
    cpu_s: float
    commit: str  # of the code that trained it
    date: str


def spec_of(system: str, material: str) -> FinetuneSpec:
    """The shipped spec with the speech at hand in place of its corpora."""
    spec = read_spec(FINETUNES / f"{system}.yaml")
    is_fbank = spec.model == "fbank"
    return spec.model_copy(
        update={"corpora": (corpus_of(material),), "baseline": FbankBaseline(type="fbank") if is_fbank else None}
    )


def without_training(spec: FinetuneSpec) -> FinetuneSpec:
    """The same system with the weights that its training begins with."""
    first = spec.stages[0].model_copy(
        update={
            "updates": 1,
            "peak_lr": NO_RATE,
            "schedule": ConstantRate(type="constant"),
            "frozen": "all",
            "keep": "last",
            "dev_every": 1,
        }
    )
    return spec.model_copy(update={"stages": (first,)})


def key_of(spec: FinetuneSpec, data: LabelledFolders, model: Path | None) -> str:
    """What a training depends on beside the code, in 12 digits."""
    text = json.dumps(canonical(spec), sort_keys=True, default=str)
    weights = sha256_of(model / WEIGHTS_FILE) if model else ""
    shards = sha256_of(data.shards / "shards.json") if (data.shards / "shards.json").exists() else ""
    return hashlib.sha256(f"{text} {weights} {shards}".encode()).hexdigest()[:12]


def train(spec: FinetuneSpec, data: LabelledFolders, model: Path | None, out: Path, commit: str) -> Trained:
    """Train it into `out`; what is finished there is taken, what was stopped goes on.

    model: the folder of the model that it stands on; None: the baseline of the spec. commit: of the code at hand.
    """
    out.mkdir(parents=True, exist_ok=True)
    start = StartWeights(folder=model, sha256=sha256_of(model / WEIGHTS_FILE)) if model else None
    job = FinetuneJob(
        key=out.name,
        out=out,
        spec=spec,
        start=start,
        subject_name="wavlm-demo" if model else "fbank",
        data=(data,),
        runtime=Runtime(workers=1, threads=1, tracking=False),
    )
    path, spent = out.parent / f"{out.name}.job.json", out.parent / f"{out.name}.spent.json"
    write_text(path, job.model_dump_json())
    if not spent.exists():
        minutes, cpu_s = _run(path, out.parent / f"{out.name}.log")
        write_text(spent, json.dumps({"minutes": minutes, "cpu_s": cpu_s, "commit": commit, "date": today()}))
    return Trained(out, read_finetune(out), **json.loads(spent.read_bytes()))


def today() -> str:
    """The date of a row."""
    return f"{datetime.now(UTC):%Y-%m-%d}"


def _run(job: Path, log: Path) -> tuple[float, float]:
    """Minutes by the clock and seconds of CPU that the training took, which are those of its process."""
    import time

    began = time.monotonic()
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "wavlm.finetune", str(job)],
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        last = log.read_text().strip().splitlines()[-1:]
        raise BadDataError(
            "TRAINER_FAILED", f"the training ended with {process.returncode}: {' '.join(last)}; at {log}; read it"
        )
    return (time.monotonic() - began) / 60, usage.ru_utime + usage.ru_stime
