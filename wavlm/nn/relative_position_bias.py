"""The gated relative position bias: its table, its buckets of distances and its gate (docs/algorithm.md section 4).

    bias[b, h, i, j] = gate[b, h, i] * table[h, F - 1 + j - i]

The table holds one number per head and distance. It is learned once and shared by all layers.
The gate holds one number per head and query. Each layer computes it from its own input.
`wavlm.nn.attention` adds the product to the logits without building it (`PositionBias`).

B utterances, F frames, D width, H heads, d = D / H head size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from wavlm.nn.conv import to_at_least_fp32
from wavlm.specs import NetworkSpec

INIT_STD = 0.02
GATE_ROWS = 8  # two gates of four rows each; the four rows are summed, as in the released models


class RelativePositionBias(nn.Module):
    """The learned table: one bias per head and bucket of distances (section 4.1)."""

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
        # A product with ones and zeros picks rows exactly, and its gradient has the same bits in every run.
        # The gradient of indexing, compiled for a GPU, would be summed by atomics in any order.
        rows = torch.arange(self.weight.shape[0], device=self.weight.device)
        chosen = ((bucket + side) == rows[:, None]).to(self.weight.dtype)  # (buckets, 2F - 1)
        with torch.autocast(self.weight.device.type, enabled=False):
            return self.weight.T @ chosen


def distance_buckets(num_buckets: int, max_distance: int) -> Tensor:
    """The bucket of each distance 0..max_distance on one side (max_distance + 1,) int64 (section 4.1).

    Each side (keys before and keys after the query) has half of the buckets.
    Half of a side's buckets hold one distance each. The others grow with the logarithm of the distance.
    Distances above max_distance are in the bucket of max_distance.
    Evaluated in fp32 as in the released models. For 320 buckets and distance 800 fp64 gives the same.

    Raises ValueError if max_distance is not above num_buckets / 4.
    """
    side, exact = num_buckets // 2, num_buckets // 4
    if max_distance <= exact:
        raise ValueError(
            f"max_distance {max_distance} must be above num_buckets / 4 = {exact}, where the logarithmic buckets begin"
        )
    distance = torch.arange(max_distance + 1, device="cpu")  # has values also if the network is on "meta"
    growth = torch.log(distance.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    far = exact + (growth * (side - exact)).long()
    return torch.where(distance < exact, distance, far.clamp(max=side - 1))


def gate_rows(gate: nn.Linear, num_heads: int) -> tuple[Tensor, Tensor]:
    """Weight (2H, D) and bias (2H,) that give both gates of all heads in one product with the layer's input.

    A gate reads its head's part of the input, before any projection (section 4.2). All heads share its weights (8, d).
    So the weight here is block-diagonal: two rows per head, update and reset.
    The four rows of each gate are summed before the product instead of after it. The function is the same.

    Append these rows to those of queries, keys and values. They then cost 1% more operations and no more reading.
    A product of their own would read the whole input again for two numbers per head.
    """
    rows = gate.weight.view(2, GATE_ROWS // 2, -1).sum(1)  # (2, d): update, reset
    offsets = gate.bias.view(2, GATE_ROWS // 2).sum(1)
    identity = torch.eye(num_heads, dtype=rows.dtype, device=rows.device)
    return torch.kron(identity, rows), offsets.repeat(num_heads)


def gate_values(products: Tensor, gate_scale: Tensor) -> Tensor:
    """The gate u (r s - 1) + 2 per head and query (section 4.2), in fp32 or wider.

    products (B, F, 2H): what the rows of `gate_rows` give, before the sigmoid that makes u (update) and r (reset).
    gate_scale: s, one learned number per head, H in all. Returns (B, H, F).
    """
    num_heads = products.shape[2] // 2
    pairs = to_at_least_fp32(products).sigmoid().view(*products.shape[:2], num_heads, 2)
    update, reset = pairs.unbind(-1)  # (B, F, H) each
    gate: Tensor = update * (reset * gate_scale.flatten() - 1) + 2
    return gate.transpose(1, 2).contiguous()
