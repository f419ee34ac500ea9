"""The front's GPU kernels in Triton's interpreter, against plain torch: prints the differences.

A process of its own: kernels are interpreted if TRITON_INTERPRET is set when they are imported.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import torch
from torch import Tensor

from wavlm.nn.front.blocks import Activation, Folded
from wavlm.nn.front.stack import ConvInput, Inputs, _backward, _forward
from wavlm.nn.front.whole import ActivationWhole, FoldedWhole

NUM_SAMPLES, CHANNELS, EPS = 751, (70, 33, 20), 1e-5  # no multiples of a tile's edges


class OnKernels(Inputs):
    """The same computation with what is used on CUDA."""

    @property
    def kinds(self) -> tuple[Callable[[Folded], ConvInput], Callable[[Activation], ConvInput]]:
        return FoldedWhole, ActivationWhole


def inputs(style: str, dtype: torch.dtype) -> tuple[object, ...]:
    torch.manual_seed(0)
    first, *later = CHANNELS
    layer_style = style == "layer"
    filters = torch.randn(1 if layer_style else 2, 12 if layer_style else 11, first) / 3
    form = None
    if layer_style:
        augmented = torch.randn(first, 11).double()
        form = augmented.t() @ augmented / first
    weights = [torch.randn(33, 70, 3) / 15, torch.randn(20, 33, 2) / 8]
    biases = [torch.randn(width) for width in later]
    scales = [torch.randn(width) for width in later] if layer_style else []
    shifts = [torch.randn(width) for width in later] if layer_style else []
    signal = torch.randn(2, NUM_SAMPLES)
    strides = [5, 2, 2]
    return signal, filters, form, weights, biases, scales, shifts, strides, EPS, dtype, True


def values_and_gradients(given: Inputs) -> list[Tensor]:
    """Features, then the gradients of everything that has one."""
    features, *kept = _forward(given)
    gradient = torch.randn(features.shape, generator=torch.Generator().manual_seed(1))
    return [features, *_backward(given, kept, gradient.to(features.dtype))]


def difference(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def main() -> None:
    differences: dict[str, list[float]] = {}
    for style in ("group", "layer"):
        for dtype in (torch.float32, torch.bfloat16):
            given = inputs(style, dtype)
            plain, kernels = Inputs(*given), OnKernels(*given)  # type: ignore[arg-type]
            results = [values_and_gradients(x) for x in (kernels, plain)]
            if len({x.untyped_storage().data_ptr() for x in results[0]}) < len(results[0]):
                raise ValueError(f"{style} {dtype}: outputs share memory; an operator's must not")
            differences[f"{style} {dtype}"] = [difference(*pair) for pair in zip(*results, strict=True)]
    print(json.dumps(differences))  # noqa: T201


if __name__ == "__main__":
    main()
