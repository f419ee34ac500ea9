"""Flash attention with a gated relative position bias, for CUDA: tiles that stay on the chip (see `kernels`).

The same function and formulas as `rows`; only the dropout mask is drawn in another way. The forward keeps the
output and one log-sum-exp per row. Logits and sums are fp32 for all inputs: a product of fp16 queries and keys is
never rounded to fp16, so it need not be divided by c = 32 (equation 8). fp32 inputs are multiplied without TF32.

**Reproducible.** No program adds to memory that another one writes. So equal inputs and seeds give equal bits,
and a resumed run is equal to one that was never interrupted. For the same reason tile sizes are a table
(`tilings`) and not measured at run time: another tiling sums in another order.

**Layout.** Inputs may be views of one product: any strides, the same for all three, head size innermost. Output and
gradients are (B, F, H, d) in memory, viewed as (B, H, F, d). The network's next `transpose(1, 2).reshape(B, F, D)`
is then a view too.

B utterances, H heads, F frames, d head size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import torch
import triton
from torch import Tensor

from wavlm.nn.attention import kernels, rows, tiles
from wavlm.nn.attention.bias import PositionBias
from wavlm.nn.attention.seed import draw_seed
from wavlm.nn.attention.tilings import HOPPER, MAX_SIZE, Tile, Tiling, tiling

KEEP_LEVELS: int = 1 << tiles.DRAW_DIGITS.value
DRAWS_PER_PROGRAM = 512


def attend(
    heads: tuple[Tensor, Tensor, Tensor],
    bias: PositionBias | None,
    num_valid: Tensor | None,
    dropout: float,
) -> Tensor:
    """(B, H, F, d) x 3 -> (B, H, F, d); see `wavlm.nn.attention.Attention`."""
    query = heads[0]
    if not query.is_cuda or query.shape[3] > MAX_SIZE.get(query.dtype, 0):
        return rows.attend(heads, bias, num_valid, dropout)
    # The kernels read both as contiguous fp32.
    gate = None if bias is None else bias.gate.float().contiguous()
    table = None if bias is None else bias.table.float().contiguous()
    out, _ = flash_attention(*heads, gate, table, num_valid, draw_seed(dropout), dropout)
    return cast("Tensor", out)


def num_kept_levels(dropout: float) -> int:
    """How many of KEEP_LEVELS equally likely draws keep a weight; at least one.

    A kept weight is divided by exactly this fraction of KEEP_LEVELS. It is within 1.3e-4 of 1 - dropout:
    3686 / 4096 = 0.8999 for dropout 0.1.
    """
    return max(1, round((1 - dropout) * KEEP_LEVELS))


@torch.library.custom_op("wavlm::flash_attention", mutates_args=(), schema=f"({rows.INPUTS}) -> (Tensor, Tensor)")
def flash_attention(*inputs: Any) -> tuple[Tensor, Tensor]:
    """Output (B, H, F, d), and the log2 of each row's sum of exponentials (B, H, F)."""
    with torch.cuda.device_of(inputs[0]):  # type: ignore[no-untyped-call]
        return _Call.of(*inputs).forward()


@torch.library.custom_op(
    "wavlm::flash_attention_backward",
    mutates_args=(),
    schema=f"(Tensor d_out, Tensor out, Tensor log_sums, {rows.INPUTS}) -> Tensor[]",
)
def flash_attention_backward(d_out: Tensor, out: Tensor, log_sums: Tensor, *inputs: Any) -> list[Tensor]:
    """Gradients of query, key and value, and of gate and table if there is a bias."""
    with torch.cuda.device_of(inputs[0]):  # type: ignore[no-untyped-call]
        return _Call.of(*inputs).backward(_by_frame(d_out), _by_frame(out), log_sums)


@flash_attention.register_fake
def _(query: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return _empty_heads(query), query.new_empty(query.shape[:3], dtype=torch.float32)


@flash_attention_backward.register_fake
def _(d_out: Tensor, out: Tensor, log_sums: Tensor, *inputs: Any) -> list[Tensor]:  # noqa: ARG001
    bias = [torch.empty_like(x) for x in inputs[3:5] if x is not None]
    return [*(_empty_heads(x) for x in inputs[:3]), *bias]


rows.differentiate(flash_attention, flash_attention_backward)


def _empty_heads(like: Tensor) -> Tensor:
    """(B, H, F, d), in memory (B, F, H, d)."""
    batch, heads, frames, size = like.shape
    return like.new_empty(batch, frames, heads, size).transpose(1, 2)


def _by_frame(x: Tensor) -> Tensor:
    """(B, H, F, d) -> the same, in memory (B, F, H, d)."""
    return x.transpose(1, 2).contiguous().transpose(1, 2)


@dataclass(frozen=True)
class _Call:
    """The inputs of one call as the kernels take them."""

    query: Tensor
    key: Tensor
    value: Tensor
    gate: Tensor | None
    table: Tensor | None
    num_valid: Tensor | None
    kept: Tensor | None  # (B, H, F, words) int32: one bit per weight, 1 to keep it
    keep_probability: float

    @classmethod
    def of(cls, *inputs: Any) -> _Call:
        query, key, value, *_, seed, dropout = inputs
        if not query.stride() == key.stride() == value.stride() or query.stride(3) != 1:
            query, key, value = (_by_frame(x) for x in (query, key, value))
        levels = num_kept_levels(dropout)
        kept = None if levels == KEEP_LEVELS else draw_kept(query, levels, int(seed))
        # The kernels take no strides for the other inputs; a compiler may have made them not contiguous.
        gate, table, lengths = (None if x is None else x.contiguous() for x in inputs[3:6])
        return cls(query, key, value, gate, table, lengths, kept, levels / KEEP_LEVELS)

    def forward(self) -> tuple[Tensor, Tensor]:
        out = _empty_heads(self.query)
        log_sums = self.query.new_empty(self.query.shape[:3], dtype=torch.float32)
        tile = self._tiling.forward
        kernels.attend_forward[self._grid(tile)](
            **self._inputs(),
            gate=self.gate,
            out=out,
            log_sums=log_sums,
            **self._sizes(tile),
            rows=tile.queries,
            keys=tile.keys,
        )
        return out, log_sums

    def backward(self, d_out: Tensor, out: Tensor, log_sums: Tensor) -> list[Tensor]:
        tile = self._tiling.backward
        batch, heads, frames, _ = self.query.shape
        blocks = triton.cdiv(frames, tile.keys)
        grid, sizes = self._grid(tile), self._sizes(tile) | {"n": tile.keys}
        rows_of_blocks = log_sums.new_empty(batch, heads, blocks * tile.keys, 4)
        d_query, d_key, d_value = (_empty_heads(self.query) for _ in range(3))
        d_gate = d_distances = None
        if self.gate is not None:
            d_gate = torch.empty_like(self.gate)
            d_distances = log_sums.new_empty(batch, heads, blocks, (blocks + 1) * tile.keys)
        kernels.attend_backward_queries[grid](
            **self._inputs(),
            gate=self.gate,
            out=out,
            d_out=d_out,
            log_sums=log_sums,
            rows=rows_of_blocks,
            d_query=d_query,
            d_gate=d_gate,
            d_distances=d_distances,
            **sizes,
        )
        kernels.attend_backward_keys[grid](
            **self._inputs(),
            d_out=d_out,
            rows=rows_of_blocks,
            d_key=d_key,
            d_value=d_value,
            **sizes,
        )
        if d_gate is None or d_distances is None:
            return [d_query, d_key, d_value]
        return [d_query, d_key, d_value, d_gate, sum_distances(d_distances, frames)]

    @property
    def _tiling(self) -> Tiling:
        device = self.query.device
        capability = torch.cuda.get_device_capability(device)[0] if self.query.is_cuda else HOPPER
        return tiling(self.query.dtype, self.query.shape[3], capability)

    def _grid(self, tile: Tile) -> tuple[int]:
        batch, heads, frames, _ = self.query.shape
        return (batch * heads * triton.cdiv(frames, tile.queries),)

    def _inputs(self) -> dict[str, Tensor | None]:
        return {
            "query": self.query,
            "key": self.key,
            "value": self.value,
            "table": self.table,
            "num_valid": self.num_valid,
            "kept": self.kept,
        }

    def _sizes(self, tile: Tile) -> dict[str, float]:
        _, heads, frames, size = self.query.shape
        strides = self.query.stride()[:3]
        # Triton does not see that a stride of 2328 is 8 x 291. Without `unit` it would load 2 bytes at a time
        # instead of 16.
        unit = 8 if all(stride % 8 == 0 for stride in strides) else 1
        return {
            "num_frames": frames,
            "num_heads": heads,
            "batch_stride": strides[0] // unit,
            "head_stride": strides[1] // unit,
            "frame_stride": strides[2] // unit,
            "scale": 1 / math.sqrt(size),
            "boost": 1 / self.keep_probability,
            "size": size,
            "width": max(16, triton.next_power_of_2(size)),
            "unit": unit,
            "num_warps": tile.warps,
            "num_stages": tile.stages,
            "enable_fp_fusion": True,
        }


def draw_kept(like: Tensor, levels: int, seed: int) -> Tensor:
    """(B, H, F, words) int32: bit j % 32 of word j // 32 is 1 if the weight of key j is kept.

    A weight is kept with probability levels / KEEP_LEVELS. A bit depends only on the seed and its position.
    """
    batch, heads, frames, _ = like.shape
    words = 2 * triton.cdiv(frames, 2 * tiles.WORD.value)  # a tile reads two words at a time
    kept = torch.empty(batch, heads, frames, words, dtype=torch.int32, device=like.device)
    programs = triton.cdiv(kept.numel(), DRAWS_PER_PROGRAM)
    tiles.draw_kept[(programs,)](kept, seed, kept.numel(), words, levels, DRAWS_PER_PROGRAM, enable_fp_fusion=True)
    return kept


def sum_distances(rows_of_blocks: Tensor, frames: int) -> Tensor:
    """(B, H, blocks, (blocks + 1) n) -> gradient of the table (H, 2F - 1).

    Entry y of the row of query block p belongs to distance j - i = y - n (p + 1). The last block comes first,
    and each further one is shifted right by n. A view whose rows are n narrower than the padded rows does that.
    """
    rows_of_heads = rows_of_blocks.sum(0)  # (H, blocks, (blocks + 1) n)
    heads, blocks, length = rows_of_heads.shape
    n = length // (blocks + 1)
    padded = torch.nn.functional.pad(rows_of_heads, (0, length)).flatten(1)
    width = 2 * length - n
    sums = padded[:, : blocks * width].view(heads, blocks, width).sum(1)
    start = blocks * n - frames + 1  # of distance 1 - F
    return sums[:, start : start + 2 * frames - 1].contiguous()
