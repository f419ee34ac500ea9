"""Several updates in a row: the weights are those of AdamW, written from its paper in float64.

The gradients that backward left are read before each step; all that follows is computed here again: the division by
counted frames and loss scale, the norm, the clipping, the learning rate, the moments and their biases, weight decay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.train import fakes
from wavlm.engine.checkpoint import TrainingTensors
from wavlm.engine.optimizer import adamw
from wavlm.engine.ranks import Ranks
from wavlm.execution.job import TrainJob
from wavlm.loader.batch import Batch
from wavlm.loader.epochs import SamplerState
from wavlm.nn import WavLM
from wavlm.nn.encoder import GatedAttention
from wavlm.rng import seed_for
from wavlm.train.prefetch import prefetch
from wavlm.train.schedule import LossScale
from wavlm.train.state import TrainingProgress
from wavlm.train.step import update

pytestmark = pytest.mark.numeric

ALONE = Ranks(0, 1, torch.device("cpu"))
UPDATES = 5
RATES = (0.02, 0.02, 0.04, 0.04 * 2 / 3, 0.04 / 3)  # two updates to the peak, three to 0; the first as the second
TRAIN = {
    "updates": UPDATES,
    "warmup_updates": 2,
    "peak_lr": 0.04,
    "adam_betas": (0.6, 0.8),
    "adam_eps": 1e-2,
    "weight_decay": 0.5,
    "clip_norm": 1.9,
}


@dataclass
class Reference:
    """AdamW (Loshchilov and Hutter 2019, algorithm 2), for all weights of a network, in float64."""

    train: dict[str, object]
    weights: list[Tensor]
    first: list[Tensor] = field(default_factory=list)
    second: list[Tensor] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)

    def step(self, gradients: list[Tensor], divisor: float) -> None:
        """Gradients as backward left them: of a sum over frames, times the loss scale."""
        (beta_1, beta_2), eps, decay, clip = (
            self.train[name] for name in ("adam_betas", "adam_eps", "weight_decay", "clip_norm")
        )
        gradients = [gradient / divisor for gradient in gradients]
        norm = math.sqrt(sum(float((gradient**2).sum()) for gradient in gradients))
        self.norms.append(norm)
        if not self.first:
            self.first = [torch.zeros_like(weight) for weight in self.weights]
            self.second = [torch.zeros_like(weight) for weight in self.weights]
        rate, number = RATES[len(self.norms) - 1], len(self.norms)
        for place, gradient in enumerate(gradients):
            clipped = gradient * min(1.0, clip / norm)
            self.first[place] = beta_1 * self.first[place] + (1 - beta_1) * clipped
            self.second[place] = beta_2 * self.second[place] + (1 - beta_2) * clipped**2
            mean = self.first[place] / (1 - beta_1**number)
            size = (self.second[place] / (1 - beta_2**number)).sqrt()
            self.weights[place] = self.weights[place] - rate * (mean / (size + eps) + decay * self.weights[place])


@pytest.mark.parametrize(
    ("changes", "scale"),
    [
        ({}, 1.0),
        ({"unmasked_weight": 0.5, "masked_weight": 2.0, "clip_norm": 2.0}, 1.0),
        ({"precision": "fp16"}, 32.0),
        ({"clip_norm": 1000.0}, 1.0),
    ],
    ids=["clipped", "weights of frames", "loss scale", "never clipped"],
)
def test_five_updates_are_those_of_adamw_in_float64(tmp_path: Path, changes: dict, scale: float) -> None:
    train = {**TRAIN, **changes}
    job = fakes.job(tmp_path, train=train)
    training = training_of(job)
    parameters = list(training.network.parameters())
    reference = Reference(train, [one.detach().double().clone() for one in parameters])
    captured: list[list[Tensor]] = []
    training.optimizer.register_step_pre_hook(
        lambda *_: captured.append([one.grad.detach().double().clone() for one in parameters])  # type: ignore[union-attr]
    )
    progress = TrainingProgress(loss_scale=LossScale(scale))
    seen: list[Batch] = []
    batches = watched(prefetch(fakes.data(job, ALONE).train(SamplerState()), ALONE.device), seen)
    for _ in range(UPDATES):
        seen.clear()
        progress = update(job, ALONE, training, batches, progress).progress
        frames = sum(
            int(batch.mask.sum()) if "unmasked_weight" not in changes else batch.mask.numel() for batch in seen
        )
        assert len(seen) == 4
        reference.step(captured[-1], frames * scale)
        assert progress.grad_norm == pytest.approx(reference.norms[-1], rel=1e-5)
    assert len(captured) == UPDATES
    if train["clip_norm"] != 1000.0:  # some are clipped, some are not
        assert min(reference.norms) < 0.9 * train["clip_norm"] < 1.1 * train["clip_norm"] < max(reference.norms)
    for ours, theirs in zip(parameters, reference.weights, strict=True):
        torch.testing.assert_close(ours.detach().double(), theirs, rtol=1e-4, atol=1e-6)


def test_fp16_trains_on_where_queries_meet_keys_beyond_its_range(tmp_path: Path) -> None:
    """Products of queries and keys above 65,504, as correctly initialised networks have them (torchaudio PR 2716)."""
    calm = {"layer_drop": 0.0, "dropout": 0.0, "attention_dropout": 0.0}
    job = fakes.job(tmp_path, network=calm, train={**TRAIN, "precision": "fp16"})
    training = training_of(job)
    products: list[float] = []
    for layer in training.network.encoder.layers:
        watch_products(layer.attention, products)
    progress = TrainingProgress(loss_scale=LossScale(1.0))
    batches = prefetch(fakes.data(job, ALONE).train(SamplerState()), ALONE.device)
    before = [one.detach().clone() for one in training.network.parameters()]
    for _ in range(2):
        progress = update(job, ALONE, training, batches, progress).progress
        assert progress.skipped_updates == 0
        assert math.isfinite(progress.grad_norm)
    assert min(products) > 65_504
    after = list(training.network.parameters())
    assert all(torch.isfinite(one).all() for one in after)
    assert any(not torch.equal(one, other) for one, other in zip(after, before, strict=True))


def watch_products(attention: GatedAttention, found: list[float]) -> None:
    """Scale queries and keys up, and note the largest product of each call, over sqrt(d), in fp32."""
    width, inner = attention.qkv.in_features, attention.attend
    with torch.no_grad():
        attention.qkv.weight[: 2 * width] *= 2500

    def attend(heads, bias, num_valid, dropout):
        query, key, _ = (one.detach().float() for one in heads)
        assert heads[0].dtype == torch.float16
        found.append(float((query @ key.transpose(2, 3)).abs().amax()) / math.sqrt(query.shape[3]))
        return inner(heads, bias, num_valid, dropout)

    attention.attend = attend


def watched(batches, seen: list[Batch]):
    """The batches, which are noted as they are taken."""
    for batch in batches:
        seen.append(batch)
        yield batch


def training_of(job: TrainJob) -> TrainingTensors:
    torch.manual_seed(seed_for(job.train.seed, "init"))
    network = WavLM(job.network, job.num_clusters)
    return TrainingTensors(network, network, adamw(network, job.train))
