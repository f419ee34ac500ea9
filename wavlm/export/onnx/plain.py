"""A network of plain operators with folded weights, which can be written as an ONNX graph.

What differs from `WavLM.hidden_states`, with `each_alone`, is how it is computed and not what:

- the convolutions are torch's own modules (`FeatureEncoder.forward_plain`), not the operator of `wavlm.nn.front`
- products of weights alone are made here, once: positional convolution; queries, keys, values and gates. So int8 finds
  the weights of every product with frames
- attention builds its logits (B, H, F, F): memory grows with the square of the length
- no layer is dropped, and no check reads the values of its input

B utterances, N samples, F frames, C conv channels, D width, H heads, L layers.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavlm.nn.conv import normalise_padded
from wavlm.nn.encoder import Encoder, EncoderLayer, GatedAttention
from wavlm.nn.positional_conv import PositionalConv
from wavlm.nn.relative_position_bias import RelativePositionBias, gate_rows, gate_values
from wavlm.nn.wavlm import WavLM


class PlainNetwork(nn.Module):
    """Waveforms (B, N), samples of each (B,) -> the chosen states and the last layer's output (B, F, D), frames (B,).

    layers: the states that are given, as `hidden_states` counts them: 0 is the encoder's input. The last output of
    frames has the final norm, as `WavLM.extract` has.
    Frames of a row behind its `num_samples` hold undefined values. The model is not changed.
    """

    def __init__(self, model: WavLM, layers: Sequence[int]) -> None:
        super().__init__()
        self.network, self.layers = model.network, tuple(layers)
        own = copy.deepcopy(model).float().eval()
        self.extractor, self.feature_norm, self.projection = own.extractor, own.feature_norm, own.projection
        self.encoder = own.encoder
        self.position = _PlainPosition(own.encoder.position)
        bias = own.encoder.relative_position
        self.bias: _PlainBias | None = None if bias is None else _PlainBias(bias)
        _fold(self.encoder)

    def forward(self, waveforms: Tensor, num_samples: Tensor) -> tuple[Tensor, ...]:
        counts = self._count_frames(num_samples)
        samples = normalise_padded(waveforms, num_samples, self.network)
        x = self.projection(self.feature_norm(self.extractor.forward_plain(samples, num_samples)))
        outside = torch.arange(x.shape[1], device=x.device) >= counts[:, None]  # (B, F)
        x = x.masked_fill(outside.unsqueeze(-1), 0)
        x = x + self.position(x)
        if not self.encoder.norm_first:
            x = self.encoder.norm(x)
        table = None if self.bias is None else self.bias(x.shape[1])
        states = [x]
        for layer in cast(Iterable[EncoderLayer], self.encoder.layers):
            x = layer.transform(x, table, outside)
            states.append(x)
        return *(states[layer] for layer in self.layers), self.encoder.final(x), counts

    def _count_frames(self, num_samples: Tensor) -> Tensor:
        for layer in self.network.conv_layers:
            num_samples = (num_samples - layer.kernel) // layer.stride + 1
        return num_samples


def _fold(encoder: Encoder) -> None:
    for layer in encoder.layers:
        layer.attention = _PlainAttention(cast(GatedAttention, layer.attention))


class _PlainPosition(nn.Module):
    """The positional convolution with its weight norm folded in."""

    def __init__(self, position: PositionalConv) -> None:
        super().__init__()
        norms = position.v.square().sum(dim=(0, 1), keepdim=True).sqrt()
        self.weight = nn.Parameter((position.v * (position.g / norms)).detach())
        self.bias, self.groups = position.bias, position.groups

    def forward(self, x: Tensor) -> Tensor:
        padding = self.weight.shape[2] // 2
        y = functional.conv1d(x.transpose(1, 2), self.weight, self.bias, padding=padding, groups=self.groups)
        return functional.gelu(y[:, :, : x.shape[1]]).transpose(1, 2)


class _PlainBias(nn.Module):
    """The biases of all pairs of frames, by looking up their distances: (H, F, F)."""

    buckets: Tensor

    def __init__(self, bias: RelativePositionBias) -> None:
        super().__init__()
        self.weight = nn.Parameter(bias.weight.detach().T.contiguous())  # (H, buckets)
        self.register_buffer("buckets", bias.buckets, persistent=False)

    def forward(self, num_frames: int) -> Tensor:
        position = torch.arange(num_frames, device=self.weight.device)
        distance = position[None, :] - position[:, None]
        near = self.buckets[distance.abs().clamp(max=self.buckets.shape[0] - 1)]
        return self.weight[:, near + (distance > 0) * (self.weight.shape[1] // 2)]


class _PlainAttention(nn.Module):
    """`GatedAttention` with the gates as rows of the product for queries, keys and values."""

    def __init__(self, attention: GatedAttention) -> None:
        super().__init__()
        self.num_heads, self.out = attention.num_heads, attention.out
        self.gate_scale = getattr(attention, "gate_scale", None)
        weight: Tensor = attention.qkv.weight
        bias: Tensor = attention.qkv.bias
        if self.gate_scale is not None:
            more_weight, more_bias = gate_rows(attention.gate, attention.num_heads)
            weight, bias = torch.cat((weight, more_weight)), torch.cat((bias, more_bias))
        self.products = nn.Linear(weight.shape[1], weight.shape[0])
        self.products.weight, self.products.bias = nn.Parameter(weight.detach()), nn.Parameter(bias.detach())

    def forward(self, x: Tensor, table: Tensor | None, outside: Tensor) -> Tensor:
        """(B, F, D) -> (B, F, D). table (H, F, F); outside (B, F): keys that are padding."""
        batch, frames, width = x.shape
        products = self.products(x)
        *parts, gate = torch.split(products, [width, width, width, products.shape[2] - 3 * width], -1)
        query, key, value = (part.view(batch, frames, self.num_heads, -1).transpose(1, 2) for part in parts)
        logits = query @ key.transpose(2, 3) / math.sqrt(width // self.num_heads)  # (B, H, F, F)
        if table is not None and self.gate_scale is not None:
            logits = logits + gate_values(gate, self.gate_scale)[..., None] * table
        logits = logits.masked_fill(outside[:, None, None, :], -math.inf)
        y = logits.softmax(-1) @ value
        output: Tensor = self.out(y.transpose(1, 2).reshape(batch, frames, width))
        return output
