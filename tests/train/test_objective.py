"""The loss, its gradient and the step equal a recomputation in float64, from the formulas alone."""

import math
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.numerics import num_operations, relative_tolerance
from tests.train import fakes
from wavlm.engine.interrupts import StopRequest
from wavlm.engine.ranks import Ranks
from wavlm.execution import metrics
from wavlm.loader.sampler import SamplerState
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


def cosine_cross_entropy(head: Head, frames: Tensor, labels: Tensor) -> Tensor:
    """Summed over frames, by way of an explicit loop over them and the definition of a cosine."""
    total = torch.zeros((), dtype=torch.float64)
    for frame, label in zip(frames, labels.tolist(), strict=True):
        ours = head.projection.weight @ frame + head.projection.bias
        rows = head.label_embeddings
        cosines = rows @ ours / (rows.norm(dim=1) * ours.norm())
        total = total - (cosines[label] / 0.1 - torch.logsumexp(cosines / 0.1, 0))
    return total


def test_first_update_is_what_the_formulas_say(tmp_path: Path) -> None:
    train = {"updates": 1, "warmup_updates": 0, "log_every": 1, "clip_norm": 0.5}
    job = fakes.job(tmp_path, network=CALM, train=train)
    batches = [batch.to(ALONE.device) for batch in islice(fakes.data(job, ALONE).train(SamplerState()), 4)]
    torch.manual_seed(seed_for(job.train.seed, "init"))
    network = WavLM(job.network, job.num_clusters).double()
    head_inputs: list[tuple[Tensor, Tensor]] = []
    network.head.register_forward_hook(lambda _, arguments, __: head_inputs.append(arguments[:2]))
    entropy = penalty = torch.zeros((), dtype=torch.float64)
    masked_frames = 0
    for batch in batches:
        terms = network(batch)
        entropy = entropy + cosine_cross_entropy(network.head, *head_inputs[-1])
        penalty = penalty + terms.feature_penalty * batch.mask.sum()
        masked_frames += int(batch.mask.sum())
    loss = (entropy + 10 * penalty) / masked_frames
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
    assert line["train/masked_loss"] == pytest.approx(entropy.item() / masked_frames, rel=rel)
    assert line["train/feature_penalty"] == pytest.approx(penalty.item() / masked_frames, rel=rel)
    assert line["grad_norm"] == pytest.approx(grad_norm, rel=relative_tolerance(3 * operations))
    share = masked_frames / sum(batch.mask.numel() for batch in batches)
    assert line["masked_fraction"] == pytest.approx(share)

    # AdamW's first step by hand: moments are (1 - beta) g and (1 - beta) g^2, and both biases are
    # corrected away; weight decay is apart from them. All gradients were clipped together.
    assert grad_norm > 0.5
    trained = load_file(tmp_path / "model.safetensors")
    rate = job.train.peak_lr
    for name, parameter in network.named_parameters():
        gradient = parameter.grad * 0.5 / grad_norm
        step = gradient / (gradient.abs() + job.train.adam_eps)
        expected = before[name] * (1 - rate * job.train.weight_decay) - rate * step
        clear = gradient.abs() > 1e-4  # far above eps and fp32's rounding of the sum
        torch.testing.assert_close(trained[name].double()[clear], expected[clear], rtol=0, atol=rate * 0.02)


def test_frames_weigh_the_same_whatever_group_they_are_in() -> None:
    small = MaskedPredictionSums(loss=10.0, masked_frames=1.0, masked_correct=1.0)
    large = MaskedPredictionSums(loss=90.0, masked_frames=99.0)
    metrics = small.plus(large).metrics("train")
    assert metrics["train/loss"] == 1.0
    assert metrics["train/masked_accuracy"] == 0.01


def test_unmasked_figures_appear_only_if_they_were_asked_for() -> None:
    assert "valid/unmasked_accuracy" not in MaskedPredictionSums(masked_frames=1.0).metrics("valid")
    asked = MaskedPredictionSums(masked_frames=1.0, unmasked_frames=4.0, unmasked_correct=3.0)
    assert asked.metrics("valid")["valid/unmasked_accuracy"] == 0.75


def test_what_a_guess_reaches_follows_from_how_often_labels_occur() -> None:
    found = label_frequency_metrics(torch.tensor([2.0, 0.0, 6.0], dtype=torch.float64), "valid")
    assert found["valid/majority"] == 0.75
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert found["valid/label_entropy"] == pytest.approx(entropy)
