"""A tiny job and made-up batches for the trainer; as a script, a trainer or a crash test.

python -m tests.train.fakes train OUT     one rank, as the environment says
python -m tests.train.fakes contrast OUT  the same for wav2vec 2.0, with two micro-batches per update
python -m tests.train.fakes streams OUT   the same with two streams of labels
python -m tests.train.fakes crash OUT N   many runs, killed at each N-th file event, resumed
"""

from __future__ import annotations

import itertools
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.kill import in_child
from tests.tiny_specs import tiny_network, tiny_training
from wavlm.engine.ranks import Ranks, join_ranks
from wavlm.execution.job import LabelledShards, TrainJob
from wavlm.execution.runtime import Runtime
from wavlm.execution.stop import StopRequest
from wavlm.execution.trainer_process import run_to_end
from wavlm.loader.batch import PackedBatch
from wavlm.loader.epochs import SamplerState
from wavlm.loader.masking import Spans
from wavlm.loader.pcm import PackedAudio
from wavlm.mixing.counts import MixingCounts
from wavlm.mixing.mix import Change
from wavlm.rng import rng_for
from wavlm.specs import ConvLayer, EffectSpec, MaskSpec, MixSpec, NetworkSpec, TrainSpec
from wavlm.specs.shapes import num_frames
from wavlm.train.loop import Data, train

NUM_CLUSTERS = 5
GROUPS_AN_EPOCH = 6
NUM_SAMPLES = 3000  # 74 frames of the short extractor
CONV_LAYERS = (
    ConvLayer(channels=8, kernel=10, stride=5),
    ConvLayer(channels=8, kernel=8, stride=8),
)

Spoil = Callable[[PackedBatch], PackedBatch]


def network_spec(**changes: object) -> NetworkSpec:
    """Two layers of width 16, with all the kinds of noise that training has."""
    fields = {
        "conv_layers": CONV_LAYERS,
        "position_kernel": 8,
        "position_groups": 2,
        "layer_drop": 0.3,
        **changes,
    }
    return tiny_network(**fields)


def train_spec(**changes: object) -> TrainSpec:
    fields = {
        "updates": 6,
        "warmup_updates": 2,
        "peak_lr": 1e-2,
        "batch_seconds": 1.5,
        "group_seconds": 0.375,  # four groups an update
        "valid_every": 3,
        "log_every": 2,
        **changes,
    }
    return tiny_training(**fields)


def job(
    out: Path,
    network: dict[str, object] | None = None,
    train: dict[str, object] | None = None,
    **runtime: Any,
) -> TrainJob:
    return TrainJob(
        key="0123456789ab",
        out=out,
        network=network_spec(**(network or {})),
        train=train_spec(**(train or {})),
        num_clusters=NUM_CLUSTERS,
        codebook="b" * 64,
        data=(LabelledShards(shards=out, labels=out),),
        mix=MixSpec(name="made-up", probability=0.5, effects=(EffectSpec(name="gain", probability=1.0),)),
        runtime=Runtime(**{"threads": 1, "snapshot_every": 2, **runtime}),
    )


def contrastive_job(
    out: Path, objective: dict[str, object] | None = None, train: dict[str, object] | None = None, **runtime: Any
) -> TrainJob:
    """The same for wav2vec 2.0. Two micro-batches per update: any order of their sum gives the same bits."""
    quantizer = {"codebooks": 2, "entries": 6, "width": 8}
    objective = {"type": "contrastive", "quantizer": quantizer, "num_negatives": 8, **(objective or {})}
    made = job(out, network={"gated_bias": False}, **runtime)
    fields = {"objective": objective, "batch_seconds": 0.75, "clip_norm": None, **(train or {})}
    return TrainJob.model_validate(
        {
            **dict(made),
            "train": train_spec(**fields),
            "num_clusters": 0,
            "codebook": "",
            "data": (LabelledShards(shards=out),),
        }
    )


def streams_job(out: Path, **runtime: Any) -> TrainJob:
    """The same with two streams of labels, and two micro-batches per update."""
    made = job(out, train={"batch_seconds": 0.75, "clip_norm": None}, **runtime)
    return made.model_copy(update={"num_streams": 2})


def two_streams(batch: PackedBatch) -> PackedBatch:
    """The labels, and beside them other numbers for the same classes."""
    return replace(batch, labels=torch.stack([batch.labels, (batch.labels * 2 + 1) % NUM_CLUSTERS], -1))


def data(made: TrainJob, ranks: Ranks, spoil: Spoil = lambda batch: batch) -> Data:
    """Batches that are a pure function of their position; a label is the pitch of its frame. One or two streams."""

    def stream(position: SamplerState) -> Iterator[PackedBatch]:
        while True:
            groups = made.train.micro_batches_per_update
            positions = [_advance(position, steps) for steps in range(groups)]
            position = _advance(position, groups)
            for at in positions[ranks.rank :: ranks.world]:
                yield spoil(_batch(made, at, position))

    def valid() -> Iterator[PackedBatch]:
        start = SamplerState()
        for number in range(ranks.rank, 3, ranks.world):
            yield _batch(made, SamplerState(-1, number), start)

    return Data(train=stream, valid={"valid": valid}, fingerprint="made up")


def _advance(position: SamplerState, steps: int) -> SamplerState:
    number = position.epoch * GROUPS_AN_EPOCH + position.group + steps
    return SamplerState(*divmod(number, GROUPS_AN_EPOCH))


def _batch(made: TrainJob, at: SamplerState, after: SamplerState) -> PackedBatch:
    rng = rng_for(made.train.seed, "fake", at.epoch, at.group)
    rows, frames = 2, num_frames(NUM_SAMPLES, CONV_LAYERS)
    labels = rng.integers(NUM_CLUSTERS, size=(rows, frames // 10 + 1)).repeat(10, 1)[:, :frames]
    pitch = np.pad(labels, ((0, 0), (0, 1)), "edge").repeat(40, 1)[:, :NUM_SAMPLES]
    waveforms = np.sin(np.cumsum(0.4 + 0.5 * pitch, 1)) / 10  # radians a sample
    # Groups differ in how much of them is masked: means of means would not be the mean.
    mask = MaskSpec(probability=rng.uniform(0.2, 0.8), length=1)
    changes = [Change(row, 0, torch.from_numpy(waveform.astype(np.float32))) for row, waveform in enumerate(waveforms)]
    found = PackedBatch(
        audio=PackedAudio(torch.zeros(waveforms.shape, dtype=torch.int16), tuple(changes)),
        labels=torch.from_numpy(labels),
        spans=Spans(frames, mask, rng.integers(2**64, size=rows, dtype=np.uint64)),
        keys=tuple(f"e{at.epoch}-g{at.group}-u{row}" for row in range(rows)),
        position=at,
        after=after,
        mixing=MixingCounts(utterances=rows, with_speech=at.group % 2, speech_ratio_millidb=100 * at.group, gain=1),
    )
    return two_streams(found) if made.num_streams == 2 else found


def with_sample(batch: PackedBatch, value: float) -> PackedBatch:
    """The batch with one sample replaced."""
    changes = (*batch.audio.changes, Change(1, 1234, torch.tensor([value])))
    return replace(batch, audio=replace(batch.audio, changes=changes))


def run(made: TrainJob) -> None:
    """Train on made-up batches as one of the ranks of the environment."""
    made.out.mkdir(parents=True, exist_ok=True)
    with StopRequest() as stop, join_ranks(made.runtime) as ranks:
        train(made, data(made, ranks), ranks, stop)


def crash(out: Path, stride: int) -> int:
    """For every n-th file event: a run killed there, then one to the end; returns how many kills.

    Ends with a run that had no n-th event and thus was not killed.
    """
    torch.set_num_threads(1)
    # One run before the forks: the copies then need not import what torch imports at a first step.
    run(job(out / "first", train={"updates": 1, "warmup_updates": 0}))
    for kills in itertools.count():
        made = job(out / f"{kills:03d}", train={"updates": 3, "valid_every": 2}, snapshot_every=1)
        was_killed = in_child(partial(run, made), kill_at=1 + kills * stride) == signal.SIGKILL
        if not was_killed:
            return kills
        if in_child(partial(run, made)) != 0:
            raise RuntimeError(f"could not go on after a kill at event {1 + kills * stride}")
    raise AssertionError("itertools.count ended")


def main(kind: str, out: str, stride: str = "") -> int:
    if kind == "crash":
        sys.stdout.write(f"{crash(Path(out), int(stride))}\n")
    else:
        run({"train": job, "contrast": contrastive_job, "streams": streams_job}[kind](Path(out)))
    return 0


if __name__ == "__main__":
    run_to_end(lambda: main(*sys.argv[1:]))
