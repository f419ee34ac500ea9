"""Under bf16 no part of the network is off by more than bf16 rounds, for any size of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.nn.networks import base
from tests.numerics import norm_tolerance, require_close
from wavlm.nn.conv import FrameNorm
from wavlm.nn.head import Head
from wavlm.nn.positional_conv import PositionalConv

pytestmark = pytest.mark.numeric

GROUPS = 2


def results(module: nn.Module, x: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """Output and gradients of a sum that weighs the output."""
    module.zero_grad()
    x = x.detach().requires_grad_()
    output = module(x)
    (output * weights).sum().backward()
    gradients = {name: p.grad.double() for name, p in module.named_parameters() if p.grad is not None}
    return {"output": output.detach().double(), "input": x.grad.double(), **gradients}


def require_bf16(module: nn.Module, x: Tensor, num_roundings: int) -> None:
    """Values and gradients under bf16 are those in fp64 up to bf16's rounding."""
    weights = torch.rand(x.shape) + 0.5  # gradients of frames do not cancel
    with torch.autocast("cpu", torch.bfloat16):
        found = results(module, x.bfloat16(), weights.bfloat16())
    expected = results(module.double(), x.bfloat16().double(), weights.bfloat16().double())
    for name, exact in expected.items():
        error = (found[name] - exact).norm() / exact.norm()
        assert error < norm_tolerance(num_roundings, torch.bfloat16), name


@pytest.mark.parametrize("channels", [2, 4, 6, 8, 12, 14, 16, 48, 64])
@pytest.mark.parametrize("taps", [7, 8, 16, 32, 128])
def test_positional_convolution_is_right_for_any_width(channels: int, taps: int) -> None:
    torch.manual_seed(0)
    width = channels * GROUPS
    network = base(width=width, num_heads=1, position_groups=GROUPS, position_kernel=taps)
    # In a row: weight, convolution, GELU, and gradients of the last two.
    require_bf16(PositionalConv(network), torch.randn(2, 150, width), 5)


@pytest.mark.parametrize("num_frames", [50, 500, 5000])
def test_gradients_of_a_norm_are_as_near_over_any_number_of_frames(num_frames: int) -> None:
    torch.manual_seed(0)
    require_bf16(FrameNorm(16), torch.randn(2, num_frames, 16), 2)


def test_cosines_of_the_head_are_computed_in_fp32() -> None:
    """In bf16 logits of up to 10 would be rounded by up to 0.03."""
    torch.manual_seed(0)
    head, frames = Head(base(), num_clusters=50), torch.randn(20, 24).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        projected, found = head.projection(frames), head.logits(frames, 0.1)
    assert projected.dtype == torch.bfloat16
    assert found.dtype == torch.float32
    expected = torch.cosine_similarity(projected.double()[:, None], head.label_embeddings.double(), dim=-1) / 0.1
    require_close(found, expected, 3 * projected.shape[1])  # two norms and a product
