"""Convolutional position encoding: a grouped convolution over frames (docs/algorithm.md section 3.9).

B utterances, F frames, D width, K taps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavlm.nn.conv import to_at_least_fp32
from wavlm.nn.front import compute_dtype
from wavlm.specs import NetworkSpec

AMX_CHANNELS = 16  # per group; the convolutions that oneDNN computes wrongly have fewer
AMX_PRODUCTS = 32  # of 16-bit numbers, in one row of an AMX tile


class PositionalConv(nn.Module):
    """Grouped convolution over frames with one weight norm per tap, then GELU.

    weight = g v / ||v||. The norm of a tap is taken over both channel dimensions.
    Shapes are those of the released checkpoints: g (1, 1, K), v (D, D / groups, K).
    """

    def __init__(self, network: NetworkSpec) -> None:
        super().__init__()
        width, taps = network.width, network.position_kernel
        self.groups = network.position_groups
        self.g = nn.Parameter(torch.empty(1, 1, taps))
        self.v = nn.Parameter(torch.empty(width, width // self.groups, taps))
        self.bias = nn.Parameter(torch.zeros(width))
        nn.init.normal_(self.v, std=math.sqrt(4 / (taps * width)))
        with torch.no_grad():
            self.g.copy_(self._norm())

    def _norm(self) -> Tensor:
        """||v|| of each tap (1, 1, K), in fp32 or wider."""
        return to_at_least_fp32(self.v).square().sum(dim=(0, 1), keepdim=True).sqrt()

    def forward(self, x: Tensor) -> Tensor:
        """(B, F, D) -> (B, F, D). With an even number of taps the last output frame is dropped."""
        taps = self.v.shape[2]
        weight = to_at_least_fp32(self.v) * (to_at_least_fp32(self.g) / self._norm())
        if self._is_wrong_in_onednn():
            weight = functional.pad(weight, (0, 1))  # a tap of zeros changes no value
        y = functional.conv1d(
            x.transpose(1, 2),
            weight.to(self.v.dtype),
            self.bias,
            padding=taps // 2,
            groups=self.groups,
        )
        return functional.gelu(y[:, :, : x.shape[1]]).transpose(1, 2)

    def _is_wrong_in_onednn(self) -> bool:
        """Whether oneDNN 3.12 computes wrong numbers on a processor with AMX.

        Its bf16 convolution is wrong for groups of under 16 channels if channels times taps fill whole rows of tiles
        (docs/log.md, 2026-11-29). The number of taps is even then. With one more tap the output still has one frame
        per input frame.
        """
        _, channels, taps = self.v.shape
        is_narrow = channels < AMX_CHANNELS and channels * taps % AMX_PRODUCTS == 0
        return is_narrow and self.v.device.type == "cpu" and compute_dtype(self.v).itemsize == 2
