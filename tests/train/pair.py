"""Two ranks that train the job of `fakes` in many ways, one after the other, as one process group.

python -m tests.train.pair OUT    one of the ranks, as the environment says; a folder a way in OUT

Each rank leaves a note of the error that a way ended in.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from math import inf
from pathlib import Path
from typing import Any

from torch.distributed.distributed_c10d import _set_pg_timeout

from tests.train import fakes
from wavlm.engine.ranks import Ranks, join_ranks
from wavlm.errors import CodedError
from wavlm.execution.job import TrainJob
from wavlm.execution.stop import StopRequest
from wavlm.execution.supervisor import start_ranks
from wavlm.execution.trainer_process import run_to_end
from wavlm.loader.batch import PackedBatch
from wavlm.train import loop
from wavlm.train.loop import train

ROOT = Path(__file__).parents[2]
HALFWAY = 7  # groups of a rank, of 12
PATIENCE = timedelta(seconds=2)  # of collectives while the disk is slow
DISK_SECONDS = 4.0


def start(module: str, *arguments: object) -> list[subprocess.Popen[bytes]]:
    """Both ranks of one group, each running a module."""
    os.environ["PYTHONPATH"] = str(ROOT)
    return start_ranks([sys.executable, "-m", module, *map(str, arguments)], 2, output=subprocess.PIPE)


def main(out: Path) -> int:
    runtime = fakes.job(out).runtime
    with StopRequest() as stop, join_ranks(runtime) as ranks:
        rank = Rank(out, ranks, stop)
        rank.run("ddp")
        rank.run("fsdp", shard_parameters=True)
        rank.run("fsdp-recomputing", shard_parameters=True, checkpoint_activations=True)
        rank.run("contrast-fsdp", make=fakes.contrastive_job, shard_parameters=True)
        rank.run("streams-fsdp", make=fakes.streams_job, shard_parameters=True)
        rank.run("ddp-then-fsdp", interrupted=True)
        rank.run("ddp-then-fsdp", shard_parameters=True)
        rank.run("fsdp-then-ddp", interrupted=True, shard_parameters=True)
        rank.run("fsdp-then-ddp")
        # Snapshots as the clock says, which tells the two ranks the opposite.
        loop.SECONDS_BETWEEN_CHECKPOINTS = 0.0 if ranks.leads else inf
        rank.run("two-clocks", snapshot_every=0, keep_snapshots=9)
        rank.run("full-disk", most_bytes_a_file=4000)
        if ranks.leads:
            sys.addaudithook(slow_disk)
        _set_pg_timeout(PATIENCE)
        rank.run("slow-disk")
    return 0


def slow_disk(event: str, arguments: tuple[Any, ...]) -> None:
    """From now on a snapshot takes longer than a collective may."""
    if event == "os.mkdir" and str(arguments[0]).endswith("2.partial"):
        time.sleep(DISK_SECONDS)


class Rank:
    """One of the two."""

    def __init__(self, out: Path, ranks: Ranks, stop: StopRequest) -> None:
        self.out, self.ranks, self.stop = out, ranks, stop

    def run(
        self,
        name: str,
        *,
        make: Callable[..., TrainJob] = fakes.job,
        interrupted: bool = False,
        most_bytes_a_file: int = resource.RLIM_INFINITY,
        **runtime: Any,
    ) -> None:
        """Train in a folder of this name; a CodedError is noted there."""
        made = make(self.out / name, **runtime)
        made.out.mkdir(parents=True, exist_ok=True)
        groups = 0

        def spoil(batch: PackedBatch) -> PackedBatch:
            nonlocal groups
            groups += batch.position.epoch >= 0
            if interrupted and groups == HALFWAY and self.ranks.rank == 1:
                signal.raise_signal(signal.SIGTERM)
            return batch

        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes_a_file, before[1]))
        try:
            train(made, fakes.data(made, self.ranks, spoil), self.ranks, self.stop)
        except CodedError as error:
            (made.out / f"rank-{self.ranks.rank}.txt").write_text(f"{type(error).__name__} {error}")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            self.stop.requested = False


if __name__ == "__main__":
    run_to_end(lambda: main(Path(sys.argv[1])))
