"""Two ranks that train X-Large with two of its 48 layers, split and with activation checkpointing.

python -m tests.train.xlarge OUT    one of the ranks, as the environment says
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tests.train import fakes
from wavlm.engine.ranks import Ranks, join_ranks
from wavlm.execution.job import TrainJob
from wavlm.execution.stop import StopRequest
from wavlm.execution.trainer_process import run_to_end
from wavlm.specs.yaml import read_network
from wavlm.train.loop import train

FILE = Path(__file__).parents[2] / "data_specs" / "networks" / "xlarge.yaml"


def job(out: Path, **runtime: Any) -> TrainJob:
    """One update of two groups. Only depth and convolutions are smaller than in the shipped file."""
    network = read_network(FILE).model_dump() | {"num_layers": 2, "conv_layers": fakes.CONV_LAYERS}
    network["position_kernel"] = 8
    few = {"updates": 1, "warmup_updates": 0, "peak_lr": 1e-4, "batch_seconds": 0.75, "valid_every": 1, "log_every": 1}
    return fakes.job(out, network=network, train=few, snapshot_every=0, **runtime)


def run(made: TrainJob, ranks: Ranks, stop: StopRequest) -> None:
    made.out.mkdir(parents=True, exist_ok=True)
    train(made, fakes.data(made, ranks), ranks, stop)


def main(out: Path) -> int:
    split = job(out, shard_parameters=True, checkpoint_activations=True)
    with StopRequest() as stop, join_ranks(split.runtime) as ranks:
        run(split, ranks, stop)
    return 0


if __name__ == "__main__":
    run_to_end(lambda: main(Path(sys.argv[1])))
