"""The loss, its gradient and the step equal a recomputation in float64, from the formulas alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.numerics import num_operations, relative_tolerance
from tests.tiny_specs import tiny_training
from tests.train import fakes
from wavlm.engine.ranks import Ranks
from wavlm.execution import metrics
from wavlm.execution.stop import StopRequest
from wavlm.loader.batch import Batch
from wavlm.loader.epochs import SamplerState
from wavlm.nn import WavLM
from wavlm.nn.head import Head
from wavlm.rng import seed_for
from wavlm.train import loop
from wavlm.train.masked_prediction import MaskedPredictionSums, label_frequency_metrics

pytestmark = pytest.mark.numeric

ALONE = Ranks(0, 1, torch.device("cpu"))
CALM = {
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "input_dropout": 0.0,
    "layer_drop": 0.0,
    "feature_grad_mult": 1.0,
}


def cosine_cross_entropy(head: Head, frames: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Summed over frames, by way of an explicit loop over them and the definition of a cosine."""
    total = torch.zeros((), dtype=torch.float64)
    for frame, label in zip(frames, labels.tolist(), strict=True):
        ours = head.projection.weight @ frame + head.projection.bias
        rows = head.label_embeddings
        cosines = rows @ ours / (rows.norm(dim=1) * ours.norm())
        total = total - (cosines[label] / temperature - torch.logsumexp(cosines / temperature, 0))
    return total


@dataclass(frozen=True)
class Weights:
    """The weights of the loss: masked frames, unmasked frames, penalty; and what its cosines are divided by."""

    masked: float
    unmasked: float
    penalty: float
    temperature: float = 0.1


PAPER = Weights(1, 0, 10)
WEIGHTS = [PAPER, Weights(1, 1, 10), Weights(0.7, 0.3, 2, 0.25), Weights(0, 1, 10)]


@dataclass(frozen=True)
class Reference:
    """Sums over micro-batches, as fairseq's hubert_criterion.py forms them: a sample size that counts a kind of frames
    with a weight above 0, whatever the weight is, and a penalty that is multiplied by the sample size."""

    loss: Tensor
    sample_size: int
    masked_loss: Tensor
    masked_frames: int
    penalty: Tensor

    @classmethod
    def of(cls, network: WavLM, batches: list[Batch], weights: Weights) -> Reference:
        head_inputs: list[tuple[Tensor, Tensor]] = []
        network.head.register_forward_hook(lambda _, arguments, __: head_inputs.append(arguments[:2]))
        loss = masked_loss = penalty = torch.zeros((), dtype=torch.float64)
        sample_size = masked_frames = 0
        for batch in batches:
            feature_penalty = network(batch, with_unmasked=True).feature_penalty
            (frames, labels), mask = head_inputs[-1], batch.mask.flatten()
            size, entropy_m, entropy_u = (
                0,
                *(
                    cosine_cross_entropy(network.head, frames[part], labels[part], weights.temperature)
                    for part in (mask, ~mask)
                ),
            )
            if weights.masked > 0:
                loss, size = loss + weights.masked * entropy_m, size + int(mask.sum())
            if weights.unmasked > 0:
                loss, size = loss + weights.unmasked * entropy_u, size + int((~mask).sum())
            loss = loss + weights.penalty * feature_penalty * size
            penalty, sample_size = penalty + feature_penalty * size, sample_size + size
            masked_loss, masked_frames = masked_loss + entropy_m, masked_frames + int(mask.sum())
        return cls(loss, sample_size, masked_loss, masked_frames, penalty)


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
def test_first_update_is_what_the_formulas_say(tmp_path: Path, weights: Weights) -> None:
    train = {
        "updates": 1,
        "warmup_updates": 0,
        "log_every": 1,
        "clip_norm": 0.5,
        "masked_weight": weights.masked,
        "unmasked_weight": weights.unmasked,
        "feature_penalty": weights.penalty,
        "logit_temperature": weights.temperature,
    }
    job = fakes.job(tmp_path, network=CALM, train=train)
    batches = [batch.to(ALONE.device) for batch in islice(fakes.data(job, ALONE).train(SamplerState()), 4)]
    torch.manual_seed(seed_for(job.train.seed, "init"))
    network = WavLM(job.network, job.num_clusters).double()
    reference = Reference.of(network, batches, weights)
    loss = reference.loss / reference.sample_size
    torch.autograd.backward(loss)
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    grad_norm = math.sqrt(sum(g.square().sum().item() for g in gradients))
    before = {name: p.detach().clone() for name, p in network.named_parameters()}

    with StopRequest() as stop:
        loop.train(job, fakes.data(job, ALONE), ALONE, stop)

    (line,) = metrics.read(tmp_path / "metrics.jsonl")
    operations = num_operations(job.network, batches[0].mask.shape[1])
    rel = relative_tolerance(operations)
    assert line["train/loss"] == pytest.approx(loss.item(), rel=rel)
    assert line["train/loss_bits"] == pytest.approx(loss.item() / math.log(2), rel=rel)
    masked_loss = reference.masked_loss.item() / reference.masked_frames
    assert line["train/masked_loss"] == pytest.approx(masked_loss, rel=rel)
    assert line["train/feature_penalty"] == pytest.approx(reference.penalty.item() / reference.sample_size, rel=rel)
    assert line["grad_norm"] == pytest.approx(grad_norm, rel=relative_tolerance(3 * operations))
    share = reference.masked_frames / sum(batch.mask.numel() for batch in batches)
    assert line["masked_fraction"] == pytest.approx(share)

    # AdamW's first step by hand: moments are (1 - beta) g and (1 - beta) g^2, and both biases are
    # corrected away; weight decay is apart from them. All gradients were clipped together.
    assert grad_norm > 0.5
    trained = load_file(tmp_path / "model.safetensors")
    rate = job.train.peak_lr
    for name, parameter in network.named_parameters():
        if parameter.grad is None:
            continue  # nothing is masked in the loss
        gradient = parameter.grad * 0.5 / grad_norm
        step = gradient / (gradient.abs() + job.train.adam_eps)
        expected = before[name] * (1 - rate * job.train.weight_decay) - rate * step
        clear = gradient.abs() > 1e-4  # far above eps and fp32's rounding of the sum
        torch.testing.assert_close(trained[name].double()[clear], expected[clear], rtol=0, atol=rate * 0.02)


def test_frames_weigh_the_same_whatever_group_they_are_in() -> None:
    small = MaskedPredictionSums(loss=10.0, loss_frames=1.0, masked_frames=1.0, masked_correct=1.0)
    large = MaskedPredictionSums(loss=90.0, loss_frames=99.0, masked_frames=99.0)
    metrics = small.plus(large).metrics("train")
    assert metrics["train/loss"] == 1.0
    assert metrics["train/masked_accuracy"] == 0.01


@pytest.mark.parametrize("unmasked_weight", [0.0, 1.0, 0.25])
def test_an_untrained_network_starts_near_ln_k_with_and_without_unmasked_frames(
    tmp_path: Path, unmasked_weight: float
) -> None:
    """Its loss is the weighted mean of two means of ln K. A high temperature makes all labels equally likely."""
    start = {"updates": 1, "warmup_updates": 0, "peak_lr": 1e-9, "log_every": 1, "logit_temperature": 1e4}
    train = {**start, "feature_penalty": 0.0}
    job = fakes.job(tmp_path, network=CALM, train={**train, "unmasked_weight": unmasked_weight})
    with StopRequest() as stop:
        loop.train(job, fakes.data(job, ALONE), ALONE, stop)
    (line,) = metrics.read(tmp_path / "metrics.jsonl")
    share = line["masked_fraction"]
    weight = share + unmasked_weight * (1 - share) if unmasked_weight else 1.0
    assert line["train/loss"] == pytest.approx(weight * math.log(fakes.NUM_CLUSTERS), rel=1e-3)
    if unmasked_weight in (0, 1):  # else it depends on the share of masked frames in the valid split
        assert line["valid/loss"] == pytest.approx(math.log(fakes.NUM_CLUSTERS), rel=1e-3)


def test_means_of_frames_that_none_were_are_left_out() -> None:
    assert "train/masked_loss" not in MaskedPredictionSums(loss=4.0, loss_frames=2.0).metrics("train")


def test_weights_that_count_no_frame_are_refused() -> None:
    with pytest.raises(ValueError, match="the loss would count no frame"):
        tiny_training(masked_weight=0.0, unmasked_weight=0.0)


def test_unmasked_figures_appear_only_if_they_were_asked_for() -> None:
    assert "valid/unmasked_accuracy" not in MaskedPredictionSums(masked_frames=1.0).metrics("valid")
    asked = MaskedPredictionSums(masked_frames=1.0, unmasked_frames=4.0, unmasked_correct=3.0)
    assert asked.metrics("valid")["valid/unmasked_accuracy"] == 0.75


def test_what_a_guess_reaches_follows_from_how_often_labels_occur() -> None:
    found = label_frequency_metrics(torch.tensor([2.0, 0.0, 6.0], dtype=torch.float64), "valid")
    assert found["valid/majority"] == 0.75
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert found["valid/label_entropy"] == pytest.approx(entropy)
