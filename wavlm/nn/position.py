"""Where a frame is: a convolution over frames, and a learned bias per distance of two frames.

B utterances, F frames, D width, H heads.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavlm.nn.conv import to_at_least_fp32
from wavlm.nn.front import compute_dtype
from wavlm.specs import NetworkSpec

INIT_STD = 0.02
AMX_CHANNELS = 16  # of a group; what oneDNN computes wrongly has fewer
AMX_PRODUCTS = 32  # of 16-bit numbers, in a row of an AMX tile


class PositionalConv(nn.Module):
    """Grouped convolution over frames with weight norm per tap (docs/algorithm.md section 3.9).

    weight = v / ||v||, norm over both channel dimensions, times g: one scale per tap, laid out as
    in the released checkpoints: g (1, 1, K), v (D, D / groups, K).
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
        return to_at_least_fp32(self.v).square().sum(dim=(0, 1), keepdim=True).sqrt()

    def forward(self, x: Tensor) -> Tensor:
        """(B, F, D) -> (B, F, D)"""
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
        """Whether oneDNN 3.12 computes something else on a processor with AMX.

        Its bf16 convolution is wrong for groups of under 16 channels if channels times taps fill
        whole rows of tiles (docs/log.md, 2026-11-29). Taps are even then: with one more, the output
        still has a frame for each input.
        """
        _, channels, taps = self.v.shape
        is_narrow = channels < AMX_CHANNELS and channels * taps % AMX_PRODUCTS == 0
        return is_narrow and self.v.device.type == "cpu" and compute_dtype(self.v).itemsize == 2


class RelativePosition(nn.Module):
    """The bias per head and distance, one table for all layers (docs/algorithm.md section 4.1)."""

    buckets: Tensor

    def __init__(self, network: NetworkSpec) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(network.num_buckets, network.num_heads))
        nn.init.normal_(self.weight, std=INIT_STD)
        near = distance_buckets(network.num_buckets, network.max_distance)
        self.register_buffer("buckets", near, persistent=False)

    def forward(self, num_frames: int) -> Tensor:
        """Table (H, 2F - 1): entry F - 1 + d is the bias of a key d frames after its query."""
        distance = torch.arange(1 - num_frames, num_frames, device=self.weight.device)
        bucket = self.buckets[distance.abs().clamp(max=len(self.buckets) - 1)]
        side = (distance > 0) * (self.weight.shape[0] // 2)
        # A product with ones and zeros picks rows exactly, and its gradient has the same bits every
        # time; compiled for a GPU, that of indexing would be added up by atomics.
        rows = torch.arange(self.weight.shape[0], device=self.weight.device)
        chosen = ((bucket + side) == rows[:, None]).to(self.weight.dtype)  # (buckets, 2F - 1)
        with torch.autocast(self.weight.device.type, enabled=False):
            return self.weight.T @ chosen


def distance_buckets(num_buckets: int, max_distance: int) -> Tensor:
    """Bucket of each distance 0..max_distance within its side; from there on it stays the last.

    Half of a side's buckets hold one distance each, the others grow with its logarithm. Evaluated
    in fp32 as in the released models, which for 320 and 800 agrees with fp64 everywhere.
    """
    side, exact = num_buckets // 2, num_buckets // 4
    if max_distance <= exact:
        raise ValueError(
            f"max_distance {max_distance} must be above num_buckets / 4 = {exact}, where the logarithmic buckets begin"
        )
    distance = torch.arange(max_distance + 1, device="cpu")  # real even in a network on "meta"
    growth = torch.log(distance.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    far = exact + (growth * (side - exact)).long()
    return torch.where(distance < exact, distance, far.clamp(max=side - 1))
