"""The transformer encoder with the gated relative position bias (docs/algorithm.md section 4).

B utterances, F frames, D width, H heads.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavlm.nn.attention import Attention, PositionBias
from wavlm.nn.conv import FrameNorm, attach_zero_gradients
from wavlm.nn.positional_conv import PositionalConv
from wavlm.nn.relative_position_bias import GATE_ROWS, INIT_STD, RelativePositionBias, gate_rows, gate_values
from wavlm.specs import NetworkSpec


class GatedAttention(nn.Module):
    """Multi-head self-attention with the gated relative position bias (section 4)."""

    def __init__(self, network: NetworkSpec, attend: Attention) -> None:
        super().__init__()
        width, self.num_heads = network.width, network.num_heads
        self.attend = attend
        self.dropout = network.attention_dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        if network.gated_bias:
            self.gate = nn.Linear(width // self.num_heads, GATE_ROWS)
            self.gate_scale = nn.Parameter(torch.ones(1, self.num_heads, 1, 1))

    def forward(self, x: Tensor, table: Tensor | None, num_valid: Tensor | None) -> Tensor:
        """(B, F, D) -> (B, F, D). table (H, 2F - 1): biases by distance; num_valid (B,): valid frames per utterance."""
        batch, frames, width = x.shape
        products = self.qkv(x) if table is None else functional.linear(x, *self._qkv_and_gate())
        sizes = [width, width, width, products.shape[2] - 3 * width]
        *projections, gate = torch.split(products, sizes, -1)
        bias = None if table is None else PositionBias(gate_values(gate, self.gate_scale), table)
        query, key, value = (part.view(batch, frames, self.num_heads, -1).transpose(1, 2) for part in projections)
        heads = query, key, value  # (B, H, F, d) each, views of one product
        y = self.attend(heads, bias, num_valid, self.dropout if self.training else 0.0)
        output: Tensor = self.out(y.transpose(1, 2).reshape(batch, frames, width))
        return output

    def _qkv_and_gate(self) -> tuple[Tensor, Tensor]:
        """Weight (3D + 2H, D) and bias of one product for queries, keys, values and gates."""
        weight, bias = gate_rows(self.gate, self.num_heads)
        return torch.cat((self.qkv.weight, weight)), torch.cat((self.qkv.bias, bias))


class EncoderLayer(nn.Module):
    """Attention and feed-forward network with residuals; norms after each (Base) or before each (Large)."""

    def __init__(self, network: NetworkSpec, attend: Attention) -> None:
        super().__init__()
        self.norm_first = network.norm_first
        self.attention = GatedAttention(network, attend)
        self.attention_norm = FrameNorm(network.width)
        self.fc1 = nn.Linear(network.width, network.ffn_width)
        self.fc2 = nn.Linear(network.ffn_width, network.width)
        self.ffn_norm = FrameNorm(network.width)
        self.dropout = nn.Dropout(network.dropout)
        self.activation_dropout = nn.Dropout(network.activation_dropout)

    def forward(self, x: Tensor, table: Tensor | None, num_valid: Tensor | None, *, kept: bool = True) -> Tensor:
        """(B, F, D) -> (B, F, D). kept: False for a dropped layer, which returns its input."""
        if not kept:
            unused = [*self.parameters(), *(() if table is None else (table,))]
            return attach_zero_gradients(x, unused)
        return self.transform(x, table, num_valid)

    def transform(self, x: Tensor, table: Tensor | None, num_valid: Tensor | None) -> Tensor:
        """What a layer computes that is not dropped."""
        if self.norm_first:
            x = x + self.dropout(self.attention(self.attention_norm(x), table, num_valid))
            return x + self._feed_forward(self.ffn_norm(x))
        x = self.attention_norm(x + self.dropout(self.attention(x, table, num_valid)))
        normed: Tensor = self.ffn_norm(x + self._feed_forward(x))
        return normed

    def _feed_forward(self, x: Tensor) -> Tensor:
        hidden = self.activation_dropout(functional.gelu(self.fc1(x)))
        output: Tensor = self.dropout(self.fc2(hidden))
        return output


class Encoder(nn.Module):
    """Positional convolution, layers, and one table of position biases for all layers.

    The table is computed outside the layers and without a gate. So layer drop of the first layer does not remove
    the bias from the others, and gates are not multiplied from layer to layer.
    """

    def __init__(self, network: NetworkSpec, attend: Attention) -> None:
        super().__init__()
        self.norm_first = network.norm_first
        self.position = PositionalConv(network)
        self.norm = FrameNorm(network.width)
        self.relative_position = RelativePositionBias(network) if network.gated_bias else None
        self.layers = nn.ModuleList(EncoderLayer(network, attend) for _ in range(network.num_layers))
        self.dropout = nn.Dropout(network.dropout)
        for module in self.layers.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=INIT_STD)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor, num_valid: Tensor | None, kept_layers: Sequence[bool]) -> list[Tensor]:
        """The first layer's input, then the output of each layer before any final norm: (B, F, D) each.

        kept_layers: one per layer, False if it is dropped. The encoder stops after as many layers as it names.
        """
        x, table = self.add_positions(x)
        states = [x]
        for layer, kept in zip(self.layers, kept_layers, strict=False):
            x = layer(x, table, num_valid, kept=kept)
            states.append(x)
        return states

    def add_positions(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The first layer's input (B, F, D), and the table of biases (H, 2F - 1) for all layers."""
        x = x + self.position(x)
        if not self.norm_first:
            x = self.norm(x)
        table = None if self.relative_position is None else self.relative_position(x.shape[1])
        return self.dropout(x), table

    def final(self, last: Tensor) -> Tensor:
        """The input of the head, from the last layer's output (B, F, D): normed in the pre-norm style."""
        return self.norm(last) if self.norm_first else last
