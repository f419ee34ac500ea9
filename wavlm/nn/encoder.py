"""The transformer encoder with a gated relative position bias (docs/algorithm.md section 4).

B utterances, F frames, D width, H heads.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavlm.nn.attention import Attention, PositionBias
from wavlm.nn.conv import FrameNorm, attach_zero_gradients, to_at_least_fp32
from wavlm.nn.position import INIT_STD, PositionalConv, RelativePosition
from wavlm.specs import NetworkSpec

GATE_ROWS = 8  # two gates of four rows each, summed, as in the released models


class GatedAttention(nn.Module):
    """Self-attention whose position bias is scaled per query by a gate of the layer's input."""

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
        batch, frames, width = x.shape
        products = self.qkv(x) if table is None else functional.linear(x, *self._weights())
        sizes = [width, width, width, products.shape[2] - 3 * width]
        *of_frames, gate = torch.split(products, sizes, -1)
        bias = None if table is None else PositionBias(self._gate(gate), table)
        query, key, value = (part.view(batch, frames, self.num_heads, -1).transpose(1, 2) for part in of_frames)
        heads = query, key, value  # (B, H, F, d) each, views of one product
        y = self.attend(heads, bias, num_valid, self.dropout if self.training else 0.0)
        output: Tensor = self.out(y.transpose(1, 2).reshape(batch, frames, width))
        return output

    def _weights(self) -> tuple[Tensor, Tensor]:
        """Weight (3D + 2H, D) and bias of one product for queries, keys, values and gates.

        A gate sees its head's part of the un-projected states (section 4.2), through weights that
        all heads share: as a product with all of D that is a block-diagonal matrix. Alone it would
        read all states again for two numbers a head; beside the queries' rows it costs 1% of their
        operations and no reading. The four rows of each gate are summed before the product instead
        of after it, which is the same function.
        """
        rows = self.gate.weight.view(2, GATE_ROWS // 2, -1).sum(1)  # (2, d): update, reset
        offsets = self.gate.bias.view(2, GATE_ROWS // 2).sum(1)
        blocks = torch.kron(_identity(self.num_heads, rows), rows)  # (2H, D), two rows a head
        weight = torch.cat((self.qkv.weight, blocks))
        return weight, torch.cat((self.qkv.bias, offsets.repeat(self.num_heads)))

    def _gate(self, products: Tensor) -> Tensor:
        """u (r s - 1) + 2 per head and query (section 4.2): (B, F, 2H) -> (B, H, F) in fp32."""
        pairs = to_at_least_fp32(products).sigmoid().view(*products.shape[:2], self.num_heads, 2)
        update, reset = pairs.unbind(-1)  # (B, F, H) each
        gate: Tensor = update * (reset * self.gate_scale.flatten() - 1) + 2
        return gate.transpose(1, 2).contiguous()


def _identity(size: int, like: Tensor) -> Tensor:
    return torch.eye(size, dtype=like.dtype, device=like.device)


class EncoderLayer(nn.Module):
    """Attention and feed-forward with residuals; norms after each (Base) or before each (Large)."""

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
        """(B, F, D) -> (B, F, D). A layer that is not kept hands its input on."""
        if not kept:
            unused = [*self.parameters(), *(() if table is None else (table,))]
            return attach_zero_gradients(x, unused)
        return self.transform(x, table, num_valid)

    def transform(self, x: Tensor, table: Tensor | None, num_valid: Tensor | None) -> Tensor:
        """What a layer computes, without the question whether it does."""
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
    """Positional convolution, layers, and one table of position biases for all of them.

    The table is made outside the layers and never gated here, so that dropping the first layer
    does not take the bias from the others, and gates cannot compound from layer to layer.
    """

    def __init__(self, network: NetworkSpec, attend: Attention) -> None:
        super().__init__()
        self.norm_first = network.norm_first
        self.position = PositionalConv(network)
        self.norm = FrameNorm(network.width)
        self.relative_position = RelativePosition(network) if network.gated_bias else None
        self.layers = nn.ModuleList(EncoderLayer(network, attend) for _ in range(network.num_layers))
        self.dropout = nn.Dropout(network.dropout)
        for module in self.layers.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=INIT_STD)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor, num_valid: Tensor | None, kept_layers: Sequence[bool]) -> list[Tensor]:
        """Encoder input and each layer's raw output (B, F, D), for as many layers as are named."""
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
        """What the head sees of the last layer's raw output: normed in the pre-norm style."""
        return self.norm(last) if self.norm_first else last
