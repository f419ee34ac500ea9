"""What is measured: Base, made-up batches of whole crops, and one update of the trainer on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wavlm.execution.runtime import Runtime
from wavlm.loader.masking import Spans
from wavlm.nn import WavLM
from wavlm.rng import rng_for, stream_seeds
from wavlm.specs import SAMPLE_RATE_HZ, MaskSpec, NetworkSpec, TrainSpec
from wavlm.specs.lookup import shipped_specs
from wavlm.specs.shapes import num_frames
from wavlm.specs.yaml import read_network

NUM_CLUSTERS = 500
PCM16_LEVELS = 1 << 15
# Layer drop is off everywhere: a step that leaves layers out by chance cannot be compared.
BASE = read_network(shipped_specs() / "networks" / "base.yaml").model_copy(update={"layer_drop": 0.0})
TRAIN = TrainSpec(updates=1000, warmup_updates=100, peak_lr=5e-4, batch_seconds=1, group_seconds=1)


@dataclass(frozen=True)
class Crops:
    """Equally long crops of noise at 16 bits, random labels, masks as in training."""

    waveforms: Tensor  # (B, N) float32
    labels: Tensor  # (B, F) int64
    spans: Spans
    mask: Tensor  # (B, F) bool, made of these

    @property
    def seconds(self) -> float:
        return self.waveforms.numel() / SAMPLE_RATE_HZ


def crops(num_utterances: int, seconds: float, device: str, network: NetworkSpec = BASE) -> Crops:
    """The same crops every time for the same arguments."""
    rng = rng_for(0, "benchmarks", num_utterances, int(1000 * seconds))
    num_samples = round(seconds * SAMPLE_RATE_HZ)
    frames = num_frames(num_samples, network.conv_layers)
    pcm = rng.normal(0, 0.1 * PCM16_LEVELS, (num_utterances, num_samples)).astype(np.int16)
    labels = rng.integers(NUM_CLUSTERS, size=(num_utterances, frames))
    names = [str(number) for number in range(num_utterances)]
    spans = Spans(frames, MaskSpec(), stream_seeds(0, ("masked",), names))
    made = (torch.from_numpy(pcm).float() / PCM16_LEVELS, torch.from_numpy(labels))
    waveforms, numbers = (tensor.to(device) for tensor in made)
    return Crops(waveforms, numbers, spans, spans.masks(torch.device(device)))


def network(spec: NetworkSpec = BASE, device: str = "cpu") -> WavLM:
    """A network in training mode, with the same weights every time.

    Its biases of distances are far from their initial values, so that a path that lost them would
    be noticed.
    """
    torch.manual_seed(0)
    model = WavLM(spec, NUM_CLUSTERS)
    if model.encoder.relative_position is not None:
        with torch.no_grad():
            model.encoder.relative_position.weight.mul_(20)
    return model.to(device).train()


class OurStep:
    """One update of the trainer: masking, network, head, loss, backward, clipping, AdamW.

    Nothing is loaded: the same batch comes again and again. It travels to the device each time, as
    int16 samples from the host's memory, and its masks are made there; a peer's lie there.
    """

    def __init__(self, model: WavLM, precision: str, *, compiled: bool) -> None:
        # The trainer needs packages that the network alone does not.
        from wavlm.engine.checkpoint import TrainingTensors
        from wavlm.engine.optimizer import adamw
        from wavlm.engine.ranks import Ranks
        from wavlm.engine.wrap import prepare_network
        from wavlm.execution.job import TrainJob
        from wavlm.train.schedule import LossScale
        from wavlm.train.state import TrainingProgress

        train = TRAIN.model_copy(update={"precision": precision})
        runtime = Runtime(compile=compiled)
        self.job = TrainJob(
            key="0" * 12,
            out=Path("unused"),
            network=model.network,
            train=train,
            num_clusters=NUM_CLUSTERS,
            data=(),
            runtime=runtime,
        )
        prepare_network(model, runtime)
        device = next(model.parameters()).device
        self.ranks = Ranks(rank=0, world=1, device=device)
        self.training = TrainingTensors(model, model, adamw(model, train))
        self.progress = TrainingProgress(loss_scale=LossScale.first(train))

    def on(self, batch: Crops) -> Callable[[], None]:
        """A function that does one update on this batch."""
        from wavlm.loader.batch import PackedBatch
        from wavlm.loader.epochs import SamplerState
        from wavlm.loader.pcm import PackedAudio
        from wavlm.mixing.counts import MixingCounts
        from wavlm.train.prefetch import prefetch
        from wavlm.train.step import update

        state = SamplerState()
        packed = PackedBatch(
            audio=PackedAudio((batch.waveforms.cpu() * PCM16_LEVELS).to(torch.int16)),
            labels=batch.labels.cpu(),
            spans=batch.spans,
            keys=("made up",),
            position=state,
            after=state,
            mixing=MixingCounts(),
        )
        batches = prefetch(repeat(packed), self.ranks.device)

        def step() -> None:
            update(self.job, self.ranks, self.training, batches, self.progress)

        return step
