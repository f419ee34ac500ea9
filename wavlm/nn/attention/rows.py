"""Attention in blocks of rows, in plain torch: exact, on any device, memory linear in the number of frames.

The forward keeps the output and one log-sum-exp per row. The backward computes each block of logits again.
With P = softmax(S), Z the dropout mask over its keep probability and O = (P Z) V:

    dV = (P Z)' dO                      dP = (dO V') Z
    dS = P (dP - rowsum(dO O))          since rowsum(P dP) = rowsum(dO O), also under dropout
    dQ = dS K / sqrt(d)                 dK = dS' Q / sqrt(d)
    dgate_i = sum_j dS_ij table[j - i]  dtable[j - i] = sum of gate_i dS_ij along the diagonal

Inside a block the rows are in reverse order. Then row r and key j need entry `start + r + j` of the table. So the
bias of the block is a strided view of the table, and sums along diagonals are row sums of a skewed matrix.

fp16 logits could overflow. As in the paper (c = 32, equation 8) the product of queries and keys is divided by c,
the maximum of the row is subtracted, and the result is multiplied by c in fp32.

B utterances, H heads, F frames, R rows of a block, d head size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from wavlm.nn.attention.bias import PositionBias
from wavlm.nn.attention.seed import draw_seed

BLOCK_ELEMENTS = 1 << 21  # logits in memory at a time; the fastest of 2^17..2^22 on a CPU
KEEP_LEVELS = 1 << 16  # dropout compares 16 random bits; a float would be 4 times as slow to draw
OVERFLOW_DIVISOR = 32.0


def attend(
    heads: tuple[Tensor, Tensor, Tensor],
    bias: PositionBias | None,
    num_valid: Tensor | None,
    dropout: float,
) -> Tensor:
    """(B, H, F, d) x 3 -> (B, H, F, d); see `wavlm.nn.attention.Attention`."""
    gate, table = (None, None) if bias is None else (bias.gate, bias.table)
    out, _ = row_attention(*heads, gate, table, num_valid, draw_seed(dropout), dropout)
    return cast("Tensor", out)


@dataclass(frozen=True)
class Dropout:
    """Dropout that backward can draw again: the same seed gives the same blocks, if drawn in the same order."""

    probability: float
    seed: int

    @property
    def num_kept_levels(self) -> int:
        """How many of the 2^16 values of a draw keep a weight; at least one."""
        return max(1, round((1 - self.probability) * KEEP_LEVELS))

    @property
    def keep_probability(self) -> float:
        """The divisor of a kept weight: exactly the fraction of draws that keep it."""
        return self.num_kept_levels / KEEP_LEVELS

    def generator(self, device: torch.device) -> torch.Generator:
        return torch.Generator(device).manual_seed(self.seed)

    def keeps(self, shape: torch.Size, generator: torch.Generator) -> Tensor | None:
        """The weights of the next block to keep (shape, bool); None without dropout."""
        if self.num_kept_levels == KEEP_LEVELS:
            return None
        words = torch.empty(-(-shape.numel() // 4), dtype=torch.int64, device=generator.device)
        words.random_(-(1 << 63), None, generator=generator)
        draws = words.view(torch.int16)[: shape.numel()].view(shape)  # four from each word
        return draws < self.num_kept_levels - KEEP_LEVELS // 2


@dataclass(frozen=True)
class _Problem:
    """The inputs of one call, and its logits block by block."""

    query: Tensor
    key: Tensor
    value: Tensor
    gate: Tensor | None
    table: Tensor | None
    num_valid: Tensor | None
    dropout: Dropout

    @property
    def scale(self) -> float:
        return 1 / math.sqrt(self.query.shape[3])

    def blocks(self) -> Iterator[tuple[slice, Tensor | None]]:
        """The rows of each block, and its weights to keep (B, H, R, F), rows in reverse order."""
        batch, heads, frames, _ = self.query.shape
        size = max(16, BLOCK_ELEMENTS // (batch * heads * frames))
        generator = self.dropout.generator(self.query.device)
        for start in range(0, frames, size):
            rows = slice(start, min(start + size, frames))
            shape = torch.Size((batch, heads, rows.stop - rows.start, frames))
            yield rows, self.dropout.keeps(shape, generator)

    def band(self, table: Tensor, rows: slice) -> Tensor:
        """(H, R, F): the entries of the table for each row of the block; a view."""
        return table[:, self.band_columns(rows)].unfold(-1, self.query.shape[2], 1)

    def band_columns(self, rows: slice) -> slice:
        """The R + F - 1 entries of the table that a block needs."""
        frames = self.query.shape[2]
        return slice(frames - rows.stop, 2 * frames - 1 - rows.start)

    def logits(self, rows: slice) -> Tensor:
        """(B, H, R, F) in fp32 or wider, rows in reverse order."""
        query = reverse_rows(self.query, rows)
        wide = torch.promote_types(query.dtype, torch.float32)
        if query.dtype == torch.float16:
            small = (query * (self.scale / OVERFLOW_DIVISOR)) @ self.key.transpose(2, 3)
            logits = small.to(wide)
            logits = (logits - logits.amax(-1, keepdim=True)).mul_(OVERFLOW_DIVISOR)
        else:
            logits = ((query * self.scale) @ self.key.transpose(2, 3)).to(wide)
        if self.gate is not None and self.table is not None:
            gate = reverse_rows(self.gate, rows).unsqueeze(-1)  # (B, H, R, 1)
            logits.addcmul_(gate, self.band(self.table, rows))
        if self.num_valid is not None:
            frame = torch.arange(self.key.shape[2], device=self.key.device)
            padding = frame >= self.num_valid[:, None]  # (B, F)
            logits.masked_fill_(padding[:, None, None, :], -math.inf)
        return logits


def reverse_rows(x: Tensor, rows: slice) -> Tensor:
    """The rows (dimension 2) of a block in reverse order."""
    return x[:, :, rows].flip(2)


def diagonal_sums(x: Tensor) -> Tensor:
    """(H, R, F) -> (H, R + F - 1): sums over entries of equal r + j."""
    heads, rows, frames = x.shape
    skewed = torch.nn.functional.pad(x, (0, rows)).flatten(1)[:, :-rows]
    return skewed.view(heads, rows, rows + frames - 1).sum(1)


# Custom operators, which torch.compile does not look into: a layer stays one graph.
INPUTS = (
    "Tensor query, Tensor key, Tensor value, Tensor? gate, Tensor? table, Tensor? num_valid, Tensor seed, float dropout"
)


@torch.library.custom_op("wavlm::row_attention", mutates_args=(), schema=f"({INPUTS}) -> (Tensor, Tensor)")
def row_attention(*inputs: Any) -> tuple[Tensor, Tensor]:
    """Output (B, H, F, d), and the log of each row's sum of exponentials (B, H, F, 1)."""
    with torch.autocast(inputs[0].device.type, enabled=False):
        return _forward(_problem(*inputs))


@torch.library.custom_op(
    "wavlm::row_attention_backward",
    mutates_args=(),
    schema=f"(Tensor d_out, Tensor out, Tensor log_sums, {INPUTS}) -> Tensor[]",
)
def row_attention_backward(d_out: Tensor, out: Tensor, log_sums: Tensor, *inputs: Any) -> list[Tensor]:
    """Gradients of query, key and value, and of gate and table if there is a bias."""
    with torch.autocast(out.device.type, enabled=False):
        return _backward(_problem(*inputs), out, log_sums, d_out)


@row_attention.register_fake
def _(query: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    wide = torch.promote_types(query.dtype, torch.float32)
    return _empty_like(query), query.new_empty((*query.shape[:3], 1), dtype=wide)


@row_attention_backward.register_fake
def _(d_out: Tensor, out: Tensor, log_sums: Tensor, *inputs: Any) -> list[Tensor]:  # noqa: ARG001
    return [_empty_like(x) for x in inputs[:5] if x is not None]


def differentiate(attention: Any, backward: Any) -> None:
    """Register `backward` as the gradient of `attention`. Both have the arguments of the two operators above."""

    def keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        *tensors, ctx.dropout = inputs
        ctx.save_for_backward(*output, *tensors)
        ctx.mark_non_differentiable(output[1])

    def pass_back(ctx: Any, d_out: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        out, log_sums, *tensors = ctx.saved_tensors
        found = backward(d_out, out, log_sums, *tensors, ctx.dropout)
        padding = (None,) * (len(tensors) + 1 - len(found))
        return (*found, *padding)

    attention.register_autograd(pass_back, setup_context=keep)


differentiate(row_attention, row_attention_backward)


def _problem(*inputs: Any) -> _Problem:
    query, key, value, gate, table, num_valid, seed, dropout = inputs
    return _Problem(query, key, value, gate, table, num_valid, Dropout(dropout, int(seed)))


def _empty_like(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _forward(problem: _Problem) -> tuple[Tensor, Tensor]:
    """Output (B, H, F, d), and the log of each row's sum of exponentials (B, H, F, 1)."""
    value = problem.value
    out = _empty_like(problem.query)
    wide = torch.promote_types(out.dtype, torch.float32)
    log_sums = torch.empty(*out.shape[:3], 1, dtype=wide, device=out.device)
    for rows, keep in problem.blocks():
        weights = problem.logits(rows)
        top = weights.amax(-1, keepdim=True)
        weights = weights.sub_(top).exp_()
        sums = weights.sum(-1, keepdim=True)
        log_sums[:, :, rows] = (top + sums.log()).flip(2)
        if keep is not None:
            weights.mul_(keep)
            sums = sums * problem.dropout.keep_probability
        weights.div_(sums)
        out[:, :, rows] = (weights.to(value.dtype) @ value).flip(2)
    return out, log_sums


def _backward(problem: _Problem, out: Tensor, log_sums: Tensor, d_out: Tensor) -> list[Tensor]:
    """Gradients of query, key and value, and of gate and table if there is a bias."""
    wide = log_sums.dtype
    d_query = _empty_like(problem.query)
    d_key = torch.zeros_like(problem.key, dtype=wide, memory_format=torch.contiguous_format)
    d_value = torch.zeros_like(d_key)
    d_bias = _BiasGradient(problem)
    row_dots = (d_out.to(wide) * out.to(wide)).sum(-1, keepdim=True)  # (B, H, F, 1)
    for rows, keep in problem.blocks():
        weights = problem.logits(rows).sub_(reverse_rows(log_sums, rows)).exp_()
        d_rows = reverse_rows(d_out, rows)
        d_weights = (d_rows @ problem.value.transpose(2, 3)).to(wide)
        kept = weights
        if keep is not None:
            scaled = keep.to(wide).div_(problem.dropout.keep_probability)
            d_weights.mul_(scaled)
            kept = scaled.mul_(weights)
        d_value += kept.to(d_out.dtype).transpose(2, 3) @ d_rows
        d_logits = d_weights.sub_(reverse_rows(row_dots, rows)).mul_(weights)
        d_bias.add(rows, d_logits)
        d_scores = d_logits.to(d_query.dtype)
        d_query[:, :, rows] = (d_scores @ problem.key).flip(2).mul_(problem.scale)
        query = reverse_rows(problem.query, rows) * problem.scale
        d_key += d_scores.transpose(2, 3) @ query
    found = d_query, d_key.to(d_query.dtype), d_value.to(d_query.dtype), d_bias.gate, d_bias.table
    return [gradient for gradient in found if gradient is not None]


class _BiasGradient:
    """Gradients of gate and table, accumulated block by block; None if there is no bias."""

    def __init__(self, problem: _Problem) -> None:
        self.problem = problem
        self.gate = None if problem.gate is None else _empty_like(problem.gate)
        self.table = None if problem.table is None else _empty_like(problem.table).zero_()

    def add(self, rows: slice, d_logits: Tensor) -> None:
        problem = self.problem
        if self.gate is None or self.table is None or problem.gate is None or problem.table is None:
            return
        gate = reverse_rows(problem.gate, rows).unsqueeze(-1)  # (B, H, R, 1)
        self.gate[:, :, rows] = (d_logits * problem.band(problem.table, rows)).sum(-1).flip(2)
        columns = problem.band_columns(rows)
        self.table[:, columns] += diagonal_sums((d_logits * gate).sum(0))
