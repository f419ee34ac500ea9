"""How far apart two float computations of the same values may lie."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from wavlm.specs import NetworkSpec

MOST_TIES = 0.01
DEVIATIONS = 4  # a random walk ends farther away in one of 16 000 cases


def relative_tolerance(num_operations: int, dtype: torch.dtype = torch.float32) -> float:
    """What two computations of a value may differ by, relative to the largest value in them.

    Another processor, kernel or number of threads sums in another order, so it rounds differently.
    One rounding moves a value by at most eps / 2 of its size. `num_operations` of them, one after
    the other, move it as a random walk does, by sqrt(num_operations) * eps / 2 (Higham and Mary
    2019, "A new approach to probabilistic rounding error analysis"). Two computations differ by
    sqrt(2) times as much.
    """
    return DEVIATIONS * math.sqrt(2 * num_operations) * torch.finfo(dtype).eps / 2


def norm_tolerance(num_roundings: int, dtype: torch.dtype) -> float:
    """How far many values may lie from exact ones: norm of the difference relative to the norm.

    Each value is the end of a random walk of `num_roundings` steps of up to eps / 2. Over many values
    the norm shows the mean length of the walks, so it needs no allowance for rare ones.
    """
    return math.sqrt(num_roundings) * torch.finfo(dtype).eps / 2


def mean_tolerance(num_roundings: int, num_values: int, dtype: torch.dtype) -> float:
    """How far the mean of values, each rounded by itself, may lie from the exact mean."""
    return DEVIATIONS * norm_tolerance(num_roundings, dtype) / math.sqrt(num_values)


def roundings(num_layers: int) -> int:
    """Roundings in a row to 16 bits in a forward pass; a backward pass has twice as many.

    A layer rounds queries, logits, weights, heads, their projection, a sum and its norm, two products
    of the feed-forward, its GELU, a sum and its norm. Outside layers: features, their norm and their
    projection, the positional convolution, its GELU, a sum and its norm, the head's projection.
    """
    return 12 * num_layers + 8


def require_close(
    found: Tensor | np.ndarray,
    expected: Tensor | np.ndarray,
    num_operations: int,
    size: float = 0.0,
    name: str = "",
) -> None:
    """Fail if the two differ by more than the rounding of `num_operations` operations in a row.

    `size` is the largest value in the computation, where it is larger than all that are expected.
    """
    ours, theirs = (torch.as_tensor(x).detach() for x in (found, expected))
    assert ours.shape == theirs.shape, name
    coarser = max(ours.dtype, theirs.dtype, key=lambda dtype: torch.finfo(dtype).eps)
    ours, theirs = ours.double(), theirs.double()
    largest = max(size, float(theirs.abs().max()))
    allowed = relative_tolerance(num_operations, coarser) * largest
    torch.testing.assert_close(ours, theirs, rtol=0, atol=allowed, msg=lambda x: f"{name} {x}")


def require_all_close(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], num_operations: int) -> None:
    """The same for gradients by name, whose rounding is relative to the largest of all.

    A gradient that is zero in exact arithmetic is what the rounding of the others left of it.
    """
    assert found.keys() == expected.keys()
    largest = max(float(tensor.detach().abs().max()) for tensor in expected.values())
    for name, tensor in expected.items():
        require_close(found[name], tensor, num_operations, size=largest, name=name)


def require_nearest(labels: np.ndarray, distances: np.ndarray, size: float, num_operations: int) -> None:
    """Each frame has its nearest centroid, or one as near up to rounding in float32.

    `distances` (F, K) are squared; `size` is the largest squared norm of a frame.
    """
    chosen = distances[np.arange(len(labels)), labels.astype(int)]
    allowed = relative_tolerance(num_operations) * size
    assert (chosen - distances.min(axis=1) <= allowed).all()
    assert (labels != distances.argmin(axis=1)).mean() <= MOST_TIES


def front_operations(network: NetworkSpec) -> int:
    """Operations in a row of the convolutions. Each product of a sum counts as one.

    Times four: a convolution, its norm's mean and variance, and an activation.
    """
    channels = [1, *(layer.channels for layer in network.conv_layers)]
    pairs = zip(channels, network.conv_layers, strict=False)
    return 4 * sum(width * layer.kernel for width, layer in pairs)


def num_operations(network: NetworkSpec, num_frames: int) -> int:
    """Operations in a row of a whole forward pass."""
    projection = network.conv_layers[-1].channels
    position = network.position_kernel * network.width // network.position_groups
    attention = 2 * network.width + network.width // network.num_heads + num_frames
    layer = attention + network.width + network.ffn_width
    return front_operations(network) + projection + position + network.num_layers * layer
