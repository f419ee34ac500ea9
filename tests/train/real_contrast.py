"""wav2vec 2.0 on real speech, too long for a test: `python -m tests.train.real_contrast SHARDS OUT`.

300 updates of 16 s of the demo's network on shards of a store, on one core. Prints the figures of the first and the
last updates, and of held-out speech. Spans of 3 frames instead of 10, and a larger weight of diversity: with the
paper's numbers 300 updates learn nothing (docs/log.md).
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from tests.tiny_specs import tiny_training
from wavlm.engine.ranks import Ranks
from wavlm.execution import metrics
from wavlm.execution.job import LabelledShards, TrainJob
from wavlm.execution.runtime import Runtime
from wavlm.execution.stop import StopRequest
from wavlm.specs.yaml import read_network
from wavlm.train.data import data_of
from wavlm.train.loop import train

NETWORK = Path(__file__).parents[2] / "data_specs" / "networks" / "tiny.yaml"
SHOWN = ("contrast_loss", "contrast_accuracy", "hard_perplexity", "soft_perplexity", "identical_negatives")


def main(shards: Path, out: Path) -> None:
    torch.set_num_threads(1)
    out.mkdir(parents=True)
    objective = {
        "type": "contrastive",
        "quantizer": {"codebooks": 2, "entries": 32, "width": 64},
        "quantizer_dropout": 0.0,
        "diversity_weight": 1.0,
    }
    spec = tiny_training(
        objective=objective,
        updates=300,
        warmup_updates=15,
        peak_lr=2e-3,
        batch_seconds=16.0,
        group_seconds=16.0,
        max_crop_seconds=4.0,
        clip_norm=None,
        mask={"probability": 0.4, "length": 3, "equalise": True},
        feature_penalty=0.6,
        valid_every=300,
        log_every=5,
    )
    job = TrainJob(
        key="0" * 12,
        out=out,
        network=read_network(NETWORK).model_copy(update={"gated_bias": False}),
        train=spec,
        num_clusters=0,
        data=(LabelledShards(shards=shards),),
        runtime=Runtime(threads=1),
    )
    ranks = Ranks(0, 1, torch.device("cpu"))
    with StopRequest() as stop:
        train(job, data_of(job, ranks), ranks, stop)
    records = list(metrics.read(out / metrics.METRICS_FILE))
    for record in (records[0], records[-1]):
        figures = (f"{name} {value:.4g}" for name, value in record.items() if name.rpartition("/")[2] in SHOWN)
        sys.stdout.write(f"update {record['update']}: {', '.join(figures)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
