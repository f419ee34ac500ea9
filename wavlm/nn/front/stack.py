"""All convolutions of the feature encoder as one operator, which torch.compile does not look into.

The backward keeps the waveform and the output z of each later convolution. (Autograd would keep z for the GELU alone.)
The inputs of convolutions, norms and GELUs are computed again from these. With y_0 the folded first convolution,
z_{i+1} = conv(y_i) and y_i = gelu(norm(z_i)), the backward computes for each i

    dy_i and dW from dz_{i+1} and y_i (`strided`),    dz_i, and y_i again, from dy_i and z_i

in blocks of rows. On a CPU the blocks are small, so y_i and dy_i are never in memory as a whole (`blocks`).

B utterances, N samples, F frames, P padded frames, R rows (B P), C and D channels, K rows of the
filter bank, k taps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from wavlm.nn.front.blocks import Activation, ActivationBlocks, Folded, FoldedBlocks
from wavlm.nn.front.strided import Strided

HAS_TRITON = find_spec("triton") is not None


class ConvInput(Protocol):
    """The input of a convolution: the folded first convolution with its GELU, or norm and GELU of the one before."""

    @property
    def gradients(self) -> list[Tensor]:
        """Gradients of the parameters that it has: filters and form, or scale and shift."""

    @property
    def dz(self) -> Tensor:
        """The gradient of the output z of the convolution before: (lead + R, C), complete after `pass_back`."""

    def blocks(self, stride: int) -> Iterator[slice]:
        """Blocks of rows of the output of the convolution that reads this, which has this stride."""

    def values(self, rows: slice) -> Tensor:
        """(rows, C)"""

    def pass_back(self, rows: slice, d_values: Tensor) -> Tensor:
        """The values again; adds what their gradient (rows, C) gives to `dz` and `gradients`."""


@dataclass(frozen=True)
class Inputs:
    """The inputs of the operator: what `fold` returns, then lists with one item per later convolution."""

    signal: Tensor  # (B, N)
    filters: Tensor  # (B or 1, K, C)
    form: Tensor | None  # (k + 1, k + 1)
    weights: list[Tensor]  # (D, C, k) each
    biases: list[Tensor]  # (D) each, or an empty list; scales and shifts of norms likewise
    scales: list[Tensor]
    shifts: list[Tensor]
    strides: list[int]  # of all convolutions, the first one included
    eps: float
    dtype: torch.dtype  # of what convolutions read and write
    keep: bool  # whether there will be a backward

    @property
    def differentiable(self) -> list[Tensor]:
        form = [] if self.form is None else [self.form]
        return [self.filters, *form, *self.weights, *self.biases, *self.scales, *self.shifts]

    @property
    def frames(self) -> list[int]:
        """Number of frames of an utterance after each convolution."""
        first = self.filters.shape[1] - (1 if self.form is None else 2)
        kernels = [first, *(weight.shape[2] for weight in self.weights)]
        counts = [self.signal.shape[1]]
        for kernel, stride in zip(kernels, self.strides, strict=True):
            counts.append((counts[-1] - kernel) // stride + 1)
        return counts[1:]

    @property
    def padded(self) -> list[int]:
        """Number of rows of an utterance there, a multiple of the next convolution's stride."""
        whole = math.prod(self.strides[1:])
        counts = [-(-self.frames[0] // whole) * whole]
        for stride in self.strides[1:]:
            counts.append(counts[-1] // stride)
        return counts

    def convolution(self, layer: int) -> Strided:
        return Strided(self.weights[layer], self.strides[layer + 1], self.dtype)

    def bias(self, layer: int) -> Tensor | None:
        return self.biases[layer] if self.biases else None

    @property
    def kinds(self) -> tuple[Callable[[Folded], ConvInput], Callable[[Activation], ConvInput]]:
        """The classes for the first convolution's input and for later ones: kernels or plain torch.

        Kernels compute fp32 and narrower types on CUDA. Plain torch computes fp64, and all types on other devices.
        """
        if not self.signal.is_cuda or self.signal.dtype != torch.float32 or not HAS_TRITON:
            return FoldedBlocks, ActivationBlocks
        from wavlm.nn.front.whole import ActivationWhole, FoldedWhole

        return FoldedWhole, ActivationWhole

    def source(self, layer: int, kept: list[Tensor]) -> ConvInput:
        """The input of a later convolution, counted from 0; after the last one, the features."""
        if layer == 0:
            numbers = (self.eps, self.strides[0], self.frames[0], self.padded[0])
            signal, filters = self.signal.contiguous(), self.filters.contiguous()
            return self.kinds[0](Folded(signal, filters, self.form, *numbers, self.dtype))
        norm = (self.scales[layer - 1], self.shifts[layer - 1]) if self.scales else ()
        lead = self.convolution(layer - 1).lead
        return self.kinds[1](Activation(kept[layer - 1], norm, self.eps, lead))


INPUTS = (
    "Tensor signal, Tensor filters, Tensor? form, Tensor[] weights, Tensor[] biases, "
    "Tensor[] scales, Tensor[] shifts, int[] strides, float eps, ScalarType dtype, bool keep"
)


@torch.library.custom_op("wavlm::front", mutates_args=(), schema=f"({INPUTS}) -> Tensor[]")
def encode_features(*inputs: Any) -> list[Tensor]:
    """Features (B, F, C); then, if there will be a backward, what it needs."""
    with _use_device(inputs[0]):
        return _forward(Inputs(*inputs))


@torch.library.custom_op(
    "wavlm::front_backward",
    mutates_args=(),
    schema=f"(Tensor d_features, Tensor[] kept, {INPUTS}) -> Tensor[]",
)
def encode_features_backward(d_features: Tensor, kept: list[Tensor], *inputs: Any) -> list[Tensor]:
    """Gradients of filters, form if there is one, weights, biases, scales and shifts."""
    with _use_device(d_features):
        return _backward(Inputs(*inputs), kept, d_features)


@encode_features.register_fake
def _(*inputs: Any) -> list[Tensor]:
    given = Inputs(*inputs)
    batch = given.signal.shape[0]
    channels = [given.filters.shape[2], *(weight.shape[0] for weight in given.weights)]
    shapes: list[tuple[int, ...]] = [(batch, given.frames[-1], channels[-1])]
    if given.keep:
        padded = zip(given.padded[1:], channels[1:], strict=True)
        shapes += [(batch * rows, width) for rows, width in padded]
    return [given.signal.new_empty(shape, dtype=given.dtype) for shape in shapes]


@encode_features_backward.register_fake
def _(d_features: Tensor, kept: list[Tensor], *inputs: Any) -> list[Tensor]:  # noqa: ARG001
    return [_empty_like(x) for x in Inputs(*inputs).differentiable]


@contextmanager
def _use_device(x: Tensor) -> Iterator[None]:
    """A context on the tensor's device and without autocast: all casts are explicit here."""
    device = torch.cuda.device_of(x)  # type: ignore[no-untyped-call]
    with device, torch.autocast(x.device.type, enabled=False):
        yield


def _empty_like(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _keep_for_backward(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    *tensors, ctx.strides, ctx.eps, ctx.dtype, ctx.keep = inputs
    kept = output[1:]
    lists = [kept, *(x if isinstance(x, list) else [x] for x in tensors)]
    ctx.lengths = [len(some) for some in lists]
    ctx.mark_non_differentiable(*kept)
    ctx.set_materialize_grads(False)  # else zeros as large as all that is kept
    ctx.save_for_backward(*(x for some in lists for x in some))


def _pass_back(ctx: Any, gradients: list[Tensor | None]) -> tuple[Any, ...]:
    saved = iter(ctx.saved_tensors)
    kept, *lists = [list(itertools.islice(saved, length)) for length in ctx.lengths]
    (signal,), (filters,), (form,) = lists[:3]
    given = (signal, filters, form, *lists[3:], ctx.strides, ctx.eps, ctx.dtype, ctx.keep)
    found = iter(encode_features_backward(gradients[0], kept, *given))
    d_filters = next(found)
    d_form = None if form is None else next(found)
    d_lists = [list(itertools.islice(found, length)) for length in ctx.lengths[4:]]
    return None, d_filters, d_form, *d_lists, None, None, None, None


encode_features.register_autograd(_pass_back, setup_context=_keep_for_backward)


def _forward(given: Inputs) -> list[Tensor]:
    batch, outputs = len(given.signal), []
    source = given.source(0, [])
    for layer, padded in enumerate(given.padded[1:]):
        convolution = given.convolution(layer)
        z = given.signal.new_empty(batch * padded, convolution.outputs, dtype=given.dtype)
        for rows in source.blocks(convolution.stride):
            y = source.values(convolution.seen(rows, batch * given.padded[layer]))
            convolution.forward(y, z[rows], given.bias(layer))
        outputs.append(z)
        source = given.source(layer + 1, outputs)
    y = torch.cat([source.values(rows) for rows in source.blocks(1)])
    features = y.view(batch, given.padded[-1], -1)[:, : given.frames[-1]]
    features = features.clone(memory_format=torch.contiguous_format)
    return [features, *outputs] if given.keep else [features]


def _backward(given: Inputs, kept: list[Tensor], d_features: Tensor) -> list[Tensor]:
    padding = given.padded[-1] - given.frames[-1]
    d_values = functional.pad(d_features, (0, 0, 0, padding)).flatten(0, 1).contiguous()  # (R, C)
    source = given.source(len(kept), kept)
    for rows in source.blocks(1):
        source.pass_back(rows, d_values[rows])
    d_weights: list[Tensor] = []
    d_biases: list[Tensor] = []
    d_norms: list[list[Tensor]] = []
    for layer in reversed(range(len(kept))):
        reader, source = source, given.source(layer, kept)
        d_weights.insert(0, _layer_backward(given.convolution(layer), source, reader.dz))
        d_biases[:0] = [reader.dz.sum(0, dtype=bias.dtype) for bias in given.biases[layer:][:1]]
        d_norms.insert(0, reader.gradients)
    by_kind = itertools.chain(*zip(*d_norms, strict=True))  # scales, then shifts
    return [*source.gradients, *d_weights, *d_biases, *by_kind]


def _layer_backward(convolution: Strided, source: ConvInput, dz: Tensor) -> Tensor:
    """The gradient of the weight; passes the gradients of its input on to the source."""
    total = convolution.no_gradient()
    for rows in source.blocks(convolution.stride):
        d_rows = dz[rows.start : rows.stop + convolution.lead]
        y = source.pass_back(convolution.read(rows), convolution.input_gradient(d_rows))
        convolution.add_weight_gradient(y, d_rows, total)
    return convolution.weight_gradient(total)
