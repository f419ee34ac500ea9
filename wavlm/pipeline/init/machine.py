"""The machine that a recipe is written for: GPUs and their memory, cores, and the hours that it may train per week."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

from wavlm.execution.processes import num_cores
from wavlm.pipeline.estimate import REFERENCE_FLOPS
from wavlm.pipeline.gpus import ASSUMED_UTILISATION, GPUS, Gpu, Precision

CPU_HOURS, GPU_HOURS = 12.0, 120.0  # per week, where nothing is said: a night, and five days
ASSUMED_GIGABYTES = 16.0  # the smallest card that is sold for training
ASSUMED_CARD = GPUS[1]
QUERY = ("--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
QUERY_SECONDS = 20


@dataclass(frozen=True)
class Machine:
    """What trains. `gigabytes`: memory of one GPU; `card`: its name, empty if it is not known."""

    gpus: int
    cores: int
    hours_per_week: float
    gigabytes: float = 0.0
    card: str = ""

    @property
    def flops(self) -> float:
        """Operations per second that training is assumed to reach."""
        if not self.gpus:
            return self.cores * REFERENCE_FLOPS
        return self.gpus * self._gpu.tflops[self.precision] * 1e12 * ASSUMED_UTILISATION

    @property
    def precision(self) -> Precision:
        """What its GPUs compute fastest, bf16 where they have it: that needs no loss scale."""
        return "bf16" if "bf16" in self._gpu.tflops else "fp16"

    @property
    def _gpu(self) -> Gpu:
        return next((gpu for gpu in GPUS if gpu.name in self.card), ASSUMED_CARD)

    def __str__(self) -> str:
        if not self.gpus:
            return f"{self.cores} CPU cores"
        return f"{self.gpus} GPUs ({self.card or 'unknown'}, {self.gigabytes:.0f} GB)"


def describe_machine(gpus: int, gigabytes: float, hours_per_week: float) -> Machine:
    """The machine, with what is not said looked up here: `nvidia-smi` knows cards, if there is one."""
    hours = hours_per_week or (GPU_HOURS if gpus else CPU_HOURS)
    card, found = _ask_card() if gpus else ("", 0.0)
    return Machine(gpus, num_cores(), hours, gigabytes or found or (ASSUMED_GIGABYTES if gpus else 0.0), card)


def _ask_card() -> tuple[str, float]:
    """Name and gigabytes of the first GPU of this machine; empty and 0 if there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "", 0.0
    try:
        done = subprocess.run([program, *QUERY], capture_output=True, text=True, timeout=QUERY_SECONDS, check=True)  # noqa: S603
        name, _, memory = done.stdout.splitlines()[0].rpartition(",")
        return name.strip(), float(memory) * 2**20 / 1e9
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return "", 0.0
