"""The input of a convolution, in plain torch: computed in blocks of rows, never all at once.

The input is either the folded first convolution with its GELU (`fold`), or norm and GELU of the convolution before.
Both classes here compute their values for the rows of one block, and compute them again in the backward. A block is
small enough to stay in the cache between the passes over it.

With u the input of the GELU, du its gradient and q_t a patch times its factor r_t, the folded
convolution u_t = filters' (q_t, 1) needs two things, and r_t = (p' A p + eps)^(-1/2) a third:

    d filters = sum_t (q_t, 1) du_t'    d r_t = du_t . filters' q_t / r_t
    d A = sum_t (-r_t^3 / 2) (d r_t) p_t p_t'

B utterances, P padded frames, R rows (B P), C channels, k taps, K rows of the filter bank.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

BLOCK_ROWS = 1024  # of the output of a convolution; the fastest of 256..4096 for 512 channels on a CPU


@dataclass(frozen=True)
class Folded:
    """The folded first convolution of a batch: signal (B, N), filters (B or 1, K, C), form (k + 1, k + 1) or None.

    frames: number of frames of each utterance; padded: number of rows that it takes.
    """

    signal: Tensor
    filters: Tensor
    form: Tensor | None
    eps: float
    stride: int
    frames: int
    padded: int
    dtype: torch.dtype

    @property
    def kernel(self) -> int:
        return self.filters.shape[1] - (1 if self.form is None else 2)


@dataclass(frozen=True)
class Activation:
    """The output z (R, C) of a convolution, and the norm after it: scale and shift (C), or () without a norm.

    lead: number of rows of zeros that the backward of the convolution reads before the first row of the gradient.
    """

    z: Tensor
    norm: tuple[Tensor, ...]
    eps: float
    lead: int

    def no_gradient(self) -> Tensor:
        """Memory for the gradient of z: (lead + R, C), zeros in the first `lead` rows, the rest uninitialised."""
        scratch = self.z.new_empty(self.lead + len(self.z), self.z.shape[1])
        scratch[: self.lead].zero_()
        return scratch


class FoldedBlocks:
    """GELU of the folded first convolution, some rows of one utterance at a time."""

    def __init__(self, folded: Folded) -> None:
        self.folded = folded
        self.d_filters = torch.zeros_like(folded.filters)
        self.d_form = None if folded.form is None else torch.zeros_like(folded.form)
        self.dz = folded.signal.new_empty(0)  # empty: the waveform gets no gradient

    def blocks(self, stride: int) -> Iterator[slice]:
        """Blocks of rows of the next convolution's output. No block spans two utterances."""
        rows = self.folded.padded // stride  # per utterance
        for utterance in range(len(self.folded.signal)):
            yield from slices(utterance * rows, (utterance + 1) * rows, self.folded.signal.device)

    def values(self, rows: slice) -> Tensor:
        """(rows, C); rows after the last frame of the utterance are 0."""
        patches, _ = self._patches(rows)
        out = patches.new_empty(rows.stop - rows.start, self.folded.filters.shape[2], dtype=self.folded.dtype)
        out[: len(patches)] = functional.gelu(patches @ self._filters(rows))
        out[len(patches) :].zero_()
        return out

    def pass_back(self, rows: slice, d_values: Tensor) -> Tensor:
        """The values again; adds what these rows contribute to the gradients of filters and form."""
        patches, raw = self._patches(rows)
        filters = self._filters(rows)
        before = patches @ filters
        d_before = gelu_backward(d_values[: len(patches)].to(before.dtype), before)
        self.d_filters[self._bank(rows)].addmm_(patches.t(), d_before)
        if raw is not None and self.d_form is not None:
            d_log_factor = (d_before @ filters[:-1].t() * patches[:, :-1]).sum(1, keepdim=True)
            d_square = -0.5 * patches[:, -2:-1].square() * d_log_factor  # column -2 holds the factor
            self.d_form.addmm_(raw.t(), raw * d_square)
        values = functional.gelu(before).to(self.folded.dtype)
        return functional.pad(values, (0, 0, 0, len(d_values) - len(patches)))

    @property
    def gradients(self) -> list[Tensor]:
        """Gradients of the filters, and of the form if there is one."""
        return [self.d_filters] if self.d_form is None else [self.d_filters, self.d_form]

    def _patches(self, rows: slice) -> tuple[Tensor, Tensor | None]:
        """(rows, K): patches with a 1 appended, and None.

        With a form: these times the factor with another 1 appended, and the unscaled ones in fp64.
        """
        folded = self.folded
        utterance, first = divmod(rows.start, folded.padded)
        patches = folded.signal[utterance].unfold(0, folded.kernel, folded.stride)
        patches = patches[first : first + rows.stop - rows.start]
        one = patches.new_ones(len(patches), 1)
        with_one = torch.cat([patches, one], 1)
        if folded.form is None:
            return with_one, None
        raw = with_one.double()
        return torch.cat([(raw * factors(raw, folded.form, folded.eps)).to(one.dtype), one], 1), raw

    def _bank(self, rows: slice) -> int:
        return 0 if len(self.folded.filters) == 1 else rows.start // self.folded.padded

    def _filters(self, rows: slice) -> Tensor:
        return self.folded.filters[self._bank(rows)]


class ActivationBlocks:
    """GELU of a convolution's output z, normed first if there is a norm."""

    def __init__(self, activation: Activation) -> None:
        self.activation = activation
        self.wide = torch.promote_types(activation.z.dtype, torch.float32)
        self._sums = [torch.zeros_like(x, dtype=self.wide) for x in activation.norm]
        self.dz = activation.z.new_empty(0)

    def blocks(self, stride: int) -> Iterator[slice]:
        """Blocks of rows of the next convolution's output."""
        return slices(0, len(self.activation.z) // stride, self.activation.z.device)

    def values(self, rows: slice) -> Tensor:
        """(rows, C)"""
        z = self.activation.z[rows]
        return functional.gelu(self._apply_norm(z)[0]).to(z.dtype)

    def pass_back(self, rows: slice, d_values: Tensor) -> Tensor:
        """The values again; writes these rows of dz, and adds what they contribute to the gradients of the norm."""
        z = self.activation.z[rows]
        normed, statistics = self._apply_norm(z)
        d_normed = gelu_backward(d_values.to(normed.dtype), normed)
        if not len(self.dz):
            self.dz = self.activation.no_gradient()
        dz = self.dz[self.activation.lead :][rows]
        dz.copy_(self._norm_backward(z, d_normed, statistics))
        return functional.gelu(normed).to(z.dtype)

    @property
    def gradients(self) -> list[Tensor]:
        """Gradients of scale and shift, if there is a norm."""
        return [total.to(x.dtype) for total, x in zip(self._sums, self.activation.norm, strict=True)]

    def _apply_norm(self, z: Tensor) -> tuple[Tensor, list[Tensor]]:
        if not self.activation.norm:
            return z, []
        scale, shift = (x.to(self.wide) for x in self.activation.norm)
        normed, *statistics = torch.native_layer_norm(z.to(self.wide), [z.shape[1]], scale, shift, self.activation.eps)
        return normed, statistics

    def _norm_backward(self, z: Tensor, d_normed: Tensor, statistics: list[Tensor]) -> Tensor:
        if not self.activation.norm:
            return d_normed
        norm = [x.to(self.wide) for x in self.activation.norm]
        found: tuple[Tensor, ...] = torch.ops.aten.native_layer_norm_backward(
            d_normed, z.to(self.wide), [z.shape[1]], *statistics, *norm, [True] * 3
        )
        for total, some in zip(self._sums, found[1:], strict=True):
            total.add_(some)
        return found[0]


def slices(start: int, stop: int, device: torch.device) -> Iterator[slice]:
    """Slices of about equal size that cover start..stop. On a CPU they have at most BLOCK_ROWS rows."""
    count = -(-(stop - start) // BLOCK_ROWS) if device.type == "cpu" else 1
    edges = [start + (stop - start) * number // count for number in range(count + 1)]
    return (slice(*pair) for pair in itertools.pairwise(edges))


def factors(raw: Tensor, form: Tensor, eps: float) -> Tensor:
    """(q' A q + eps)^(-1/2), where row q is a patch with a 1 appended, in fp64: (..., k + 1) -> (..., 1)"""
    return ((raw @ form * raw).sum(-1, keepdim=True) + eps).rsqrt()


def gelu_backward(d_values: Tensor, before: Tensor) -> Tensor:
    d_before: Tensor = torch.ops.aten.gelu_backward(d_values, before)
    return d_before
