"""Runtime settings: processes, GPUs, checkpoints. They change how work runs, never what it makes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from wavlm.specs.base import Count, Natural

LOADERS_PER_GPU = 4


class Runtime(BaseModel):
    """How to run. No field is part of an artifact or of its key."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    workers: Natural = 2  # processes for shards, labels and loading; 0: this process does the work
    gpus: Natural = 0  # 0: train on the CPU with `processes` gloo ranks
    processes: Natural = 0  # 0: as many ranks as cores and micro-batches per update allow
    threads: Natural = 0  # torch threads per rank; 0: cores / ranks
    snapshot_every: Natural = 0  # updates between two checkpoints; 0: a checkpoint every five minutes
    keep_snapshots: Count = 2
    compile: bool = False
    checkpoint_activations: bool = False
    shard_parameters: bool = False  # over all ranks (FSDP2), for networks of Large size and up
    tracking: bool = True  # False: no MLflow while training; `wavlm sync` uploads later

    @property
    def loaders(self) -> int:
        """Processes per rank that load data.

        A core loads 5,000 to 10,000 times real time. A GPU may train Base at 9,000 times real time and must
        not wait, even if other work uses the machine.
        """
        return max(self.workers, LOADERS_PER_GPU) if self.gpus and self.workers else self.workers
