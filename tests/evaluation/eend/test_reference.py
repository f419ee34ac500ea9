"""EEND-EDA has the outputs and losses of a public implementation with the same weights (reference/make_eend.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.evaluation.reference import values
from tests.evaluation.reference.values import EEND, NUM_EEND_FRAMES, uniform
from tests.numerics import require_close
from wavlm.evaluation.heads.eend import attractors
from wavlm.evaluation.heads.eend.contract import Truth
from wavlm.evaluation.heads.eend.eda import EdaDiarizer, attractor_losses
from wavlm.evaluation.heads.eend.encoder import Encoded
from wavlm.evaluation.tasks.task import Size
from wavlm.specs.eend import EdaHead, FrameEncoderSpec

pytestmark = pytest.mark.numeric
REFERENCE = np.load(Path(__file__).parents[1] / "reference/eend.npz")
OPERATIONS = 2000
HOP = 1600  # samples of 100 ms: states are not interpolated


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> EdaDiarizer:
    """The head with the reference's weights, which reads frames in their order."""
    monkeypatch.setattr(attractors, "shuffle", lambda encoded, seed: encoded.frames)
    encoder = FrameEncoderSpec(
        width=EEND["encoder"],
        layers=EEND["layers"],
        attention_heads=EEND["heads"],
        feed_forward=EEND["feed_forward"],
        dropout=0.0,
    )
    made = EdaDiarizer(Size(1, EEND["width"], HOP), EdaHead(type="eend_eda", encoder=encoder)).eval()
    names = dict(made.named_parameters())
    with torch.no_grad():
        for ours, theirs in _pairs(EEND["layers"]).items():
            names.pop(ours).copy_(_theirs(theirs, made.get_parameter(ours).shape))
        for number in range(EEND["layers"]):
            attention = f"encoder.layers.{number}.self_attn.in_proj_"
            for kind in ("weight", "bias"):
                parts = [f"enc.self_att_{number}.linear{letter}.{kind}" for letter in "QKV"]
                shape = torch.Size([EEND["encoder"], *([EEND["encoder"]] if kind == "weight" else [])])
                names.pop(attention + kind).copy_(torch.cat([_theirs(name, shape) for name in parts]))
    assert set(names) == {"encoder.sum.weights"}, "all other parameters have a counterpart"
    return made


def _theirs(name: str, shape: torch.Size) -> Tensor:
    return torch.from_numpy(values.tensor(name, tuple(shape)))


def _pairs(layers: int) -> dict[str, str]:
    """Ours to theirs, but for the projections of attention."""
    found = {"encoder.input": "enc.linear_in", "encoder.input_norm": "enc.lnorm1_0"}
    found |= {"attractors.exists": "eda.counter"}
    for number in range(layers):
        ours, after = f"encoder.layers.{number}", f"lnorm1_{number + 1}" if number + 1 < layers else "lnorm_out"
        found |= {f"{ours}.norm1": f"enc.lnorm2_{number}", f"{ours}.norm2": f"enc.{after}"}
        found |= {f"{ours}.self_attn.out_proj": f"enc.self_att_{number}.linearO"}
        found |= {f"{ours}.linear{it}": f"enc.ff_{number}.linear{it}" for it in (1, 2)}
    pairs = {f"{a}.{kind}": f"{b}.{kind}" for a, b in found.items() for kind in ("weight", "bias")}
    lstms = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    return pairs | {f"attractors.{it}.{name}": f"eda.{it}.{name}" for it in ("encoder", "decoder") for name in lstms}


def test_frames_attractors_and_losses_are_those_of_the_reference(head: EdaDiarizer) -> None:
    xs = torch.from_numpy(uniform("eend frames", 2, NUM_EEND_FRAMES, EEND["width"]))
    truth = torch.from_numpy((uniform("eend activity", 2, NUM_EEND_FRAMES, EEND["speakers"]) > 0).astype(np.float32))
    lengths = torch.tensor([NUM_EEND_FRAMES] * 2)
    x = head.encoder.input_norm(head.encoder.input(xs))  # without the norm over time, which the reference lacks
    for layer in head.encoder.layers:
        x = layer(x)
    encoded = Encoded(x, lengths)
    require_close(encoded.frames, REFERENCE["frames"], OPERATIONS)
    found, exists = head.attractors(encoded, 4, 0)
    require_close(encoded.frames @ found[:, :3].transpose(1, 2), REFERENCE["logits"], OPERATIONS)
    require_close(torch.sigmoid(exists), REFERENCE["probabilities"], OPERATIONS)
    truths = [Truth(row, (0, 1, 2)) for row in truth]
    activity, existence = attractor_losses(head.attractors, encoded, truths, 0)
    require_close(activity, REFERENCE["activity"], OPERATIONS)
    require_close(existence, REFERENCE["existence"], OPERATIONS)
    require_close(activity + existence, REFERENCE["loss"], OPERATIONS)


def test_a_norm_of_a_layer_matters(head: EdaDiarizer) -> None:
    """The comparison can fail: another weight of a norm is seen."""
    xs = torch.from_numpy(uniform("eend frames", 2, NUM_EEND_FRAMES, EEND["width"]))
    norm = head.encoder.layers[1].norm2
    assert isinstance(norm, nn.LayerNorm)
    with torch.no_grad():
        norm.weight[0] += 0.1
    x = head.encoder.input_norm(head.encoder.input(xs))
    for layer in head.encoder.layers:
        x = layer(x)
    assert float((x.detach() - torch.from_numpy(REFERENCE["frames"])).abs().max()) > 1e-3
