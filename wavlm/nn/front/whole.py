"""The input of a convolution, on CUDA: whole tensors, computed by the kernels of `kernels`.

The same interface and functions as in `blocks`, which has the formulas. One block holds all rows.

B utterances, P padded frames, R rows (B P), C channels, K rows of the filter bank.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
from torch import Tensor
from torch.nn import functional

from wavlm.nn.front import kernels
from wavlm.nn.front.blocks import Activation, Folded, factors
from wavlm.nn.front.fold import CHUNK_FRAMES

# Tiles hold 16 values per thread. That leaves registers for at least two programs on a multiprocessor:
# one can load while another computes.
FORWARD = {"num_rows": 64, "num_columns": 64, "num_warps": 8}
BACKWARD = {"num_rows": 64, "num_columns": 32, "num_warps": 4}
ELEMENTS_AT_ONCE = 1024  # values of whole rows that the kernels of norm and GELU hold at a time
STEPS = 32  # how often each program of the backward does that
FUSED = {"enable_fp_fusion": True}  # multiply and add in one instruction, independent of Triton's default


class FoldedWhole:
    """GELU of the folded first convolution of a whole batch."""

    def __init__(self, folded: Folded) -> None:
        self.folded = folded
        self.gradients: list[Tensor] = []
        self.dz = folded.signal.new_empty(0)

    def blocks(self, stride: int) -> Iterator[slice]:
        """All rows of the next convolution's output."""
        yield slice(0, len(self.folded.signal) * self.folded.padded // stride)

    def values(self, rows: slice) -> Tensor:
        """(rows, C); rows after the last frame of an utterance are 0."""
        values, scale = self._allocate(), self._factors()
        tiles, strips = self._grid(FORWARD)
        kernels.forward_folded[tiles * strips, len(self.folded.signal)](
            self.folded.signal, self.folded.filters, scale, values,
            **self._arguments(), **FORWARD, **FUSED,
        )  # fmt: skip
        return values[rows]

    def pass_back(self, rows: slice, d_values: Tensor) -> Tensor:  # noqa: ARG002
        """The values again; sets the gradients."""
        folded, values, scale = self.folded, self._allocate(), self._factors()
        batch, (tiles, strips) = len(folded.signal), self._grid(BACKWARD)
        filter_sums = folded.filters.new_empty(batch, tiles, *folded.filters.shape[1:])
        factor_sums = folded.signal.new_empty(strips, *scale.shape)
        kernels.backward_folded[tiles * strips, batch](
            folded.signal, folded.filters, scale, d_values, values, filter_sums, factor_sums,
            **self._arguments(), **BACKWARD, **FUSED,
        )  # fmt: skip
        d_filters = filter_sums.sum(1)
        if folded.form is None:
            self.gradients = [d_filters]
        else:
            d_form = self._d_form(factor_sums.sum(0), scale)
            self.gradients = [d_filters.sum(0, keepdim=True), d_form]
        return values

    def _allocate(self) -> Tensor:
        folded = self.folded
        shape = len(folded.signal) * folded.padded, folded.filters.shape[2]
        return folded.signal.new_empty(shape, dtype=folded.dtype)

    def _patches(self) -> Tensor:
        """(B, F, k + 1): patches with a 1 appended, in fp64."""
        folded = self.folded
        patches = folded.signal.double().unfold(1, folded.kernel, folded.stride)
        return functional.pad(patches, (0, 1), value=1.0)

    def _factors(self) -> Tensor:
        """(B, F); empty without a form."""
        folded = self.folded
        if folded.form is None:
            return folded.signal.new_empty(0)
        return factors(self._patches(), folded.form, folded.eps)[..., 0].to(folded.signal.dtype)

    def _d_form(self, d_log_factors: Tensor, scale: Tensor) -> Tensor:
        """The gradient of the form (k + 1, k + 1), from that of the factors' logarithm and the factors, (B, F) each."""
        d_squares = -0.5 * scale.double().square() * d_log_factors
        patches = self._patches().flatten(0, 1)
        patches = functional.pad(patches, (0, 0, 0, -len(patches) % CHUNK_FRAMES))
        d_squares = functional.pad(d_squares.flatten(), (0, -d_squares.numel() % CHUNK_FRAMES))
        chunks = patches.view(-1, CHUNK_FRAMES, patches.shape[1])
        return (chunks.mT @ (chunks * d_squares.view(-1, CHUNK_FRAMES, 1))).sum(0)

    def _grid(self, tile: dict[str, int]) -> tuple[int, int]:
        """The number of tiles along the rows, and of strips along the channels."""
        channels = self.folded.filters.shape[2]
        tiles = triton.cdiv(self.folded.padded, tile["num_rows"])
        return tiles, triton.cdiv(channels, tile["num_columns"])

    def _arguments(self) -> dict[str, Any]:
        folded = self.folded
        return {
            "num_samples": folded.signal.shape[1],
            "num_frames": folded.frames,
            "padded": folded.padded,
            "channels": folded.filters.shape[2],
            "bank_stride": 0 if len(folded.filters) == 1 else folded.filters.stride(0),
            "stride": folded.stride,
            "kernel": folded.kernel,
            "scaled": folded.form is not None,
        }


class ActivationWhole:
    """GELU of a convolution's output z, normed first if there is a norm."""

    def __init__(self, activation: Activation) -> None:
        self.activation = activation
        self.gradients: list[Tensor] = []
        self.dz = activation.z.new_empty(0)
        self._width = triton.next_power_of_2(activation.z.shape[1])
        self._rows_at_once = max(1, ELEMENTS_AT_ONCE // self._width)

    def blocks(self, stride: int) -> Iterator[slice]:
        """All rows of the next convolution's output."""
        yield slice(0, len(self.activation.z) // stride)

    def values(self, rows: slice) -> Tensor:
        """(rows, C)"""
        z, norm = self.activation.z, self.activation.norm
        if not norm:
            return functional.gelu(z[rows])
        values = torch.empty_like(z)
        kernels.forward_activation[triton.cdiv(len(z), self._rows_at_once),](
            z, *norm, values, len(z), z.shape[1], self.activation.eps,
            rows_at_once=self._rows_at_once, width=self._width, **FUSED,
        )  # fmt: skip
        return values[rows]

    def pass_back(self, rows: slice, d_values: Tensor) -> Tensor:  # noqa: ARG002
        """The values again; sets dz and the gradients."""
        z, norm, lead = self.activation.z, self.activation.norm, self.activation.lead
        programs = triton.cdiv(len(z), self._rows_at_once * STEPS)
        values, self.dz = torch.empty_like(z), self.activation.no_gradient()
        sums = z.new_empty(programs, 2 if norm else 0, z.shape[1], dtype=torch.float32)
        kernels.backward_activation[programs,](
            z, d_values, *(norm or (z, z)), values, self.dz[lead:], sums,
            len(z), z.shape[1], self.activation.eps, normed=bool(norm),
            rows_at_once=self._rows_at_once, steps=STEPS, width=self._width, **FUSED,
        )  # fmt: skip
        # Two tensors, each in its own memory: the outputs of an operator must not be views of one tensor.
        parts = zip(sums.unbind(1), norm, strict=True)
        self.gradients = [some.sum(0).to(x.dtype) for some, x in parts]
        return values
