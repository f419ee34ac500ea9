"""How to run, never what to make: no field of `Runtime` is part of an artifact's key."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from wavlm.specs.base import Count, Natural

LOADERS_PER_GPU = 4


class Runtime(BaseModel):
    """How to run, never what to make. Not hashed, not part of any artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    workers: Natural = 2  # processes for shards, labels and loading; 0: none but this one
    gpus: Natural = 0  # 0: train on the CPU with `processes` gloo ranks
    processes: Natural = 0  # 0: as many ranks as cores and groups of an update allow
    threads: Natural = 0  # torch threads a rank; 0: cores / ranks
    snapshot_every: Natural = 0  # updates; 0: every five minutes
    keep_snapshots: Count = 2
    compile: bool = False
    checkpoint_activations: bool = False
    shard_parameters: bool = False  # over all ranks (FSDP2), for networks of Large size and up
    tracking: bool = True  # False: no MLflow while training; `wavlm sync` uploads later

    @property
    def loaders(self) -> int:
        """Processes that load, a rank.

        A core loads 5,000 to 10,000 times real time; a GPU may train Base at 9,000 and must not
        wait, whatever else its machine does.
        """
        return max(self.workers, LOADERS_PER_GPU) if self.gpus and self.workers else self.workers
