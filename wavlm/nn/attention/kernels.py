# Kernels take many pointers and sizes and are long. `is not None` is decided at compile time, so the variables
# that depend on it are always defined. Triton's decorator has no types.
# ruff: noqa: PLR0912, PLR0913, PLR0915, PLR0917
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, possibly-undefined"
"""Triton kernels of attention with a gated relative position bias.

Names as in `rows`: logits S, P = softmax(S), Z the dropout mask over its keep probability, O = (P Z) V. Each program
computes the (F, F) weights in tiles: `rows` queries i by `keys` keys j in the forward, n by n in the backward. No tile
leaves the chip. `tiles` describes how a tile gets its bias and its dropout. Logits are in units of log 2, because the
hardware computes powers of 2:

    s = (q . k / sqrt(d) + gate table) log2(e)

**dtable**, the gradient of the table, sums over diagonals. The diagonals of a tile below its wrap (see `tiles`) belong
to the same distances as those of the tile to its left above its wrap. A program goes from left to right, adds the two
in registers, and writes each distance of its n queries once, n per tile, into a row of its own. A later sum adds the
rows (`flash.sum_distances`). So no two programs write to the same address, and nothing is atomic: gradients have the
same bits in every run. This costs nothing. With n = 64 the rows of a layer take 1/16 byte per weight: 7 MB for 13
utterances of 750 frames with 12 heads, written and read once. Atomics would write the same sums, to addresses that
all utterances and blocks share.

Pointer offsets have 64 bits up to utterance and head, and 32 bits inside them.

B utterances, H heads, F frames, d head size; `width` is d rounded up to a power of two.
"""

from __future__ import annotations

import triton
import triton.language as tl

from wavlm.nn.attention.tiles import (
    bias_band,
    diagonal_sums,
    keep_tile,
    load_rows,
    store_rows,
)

LOG2_E = tl.constexpr(1.4426950408889634)

# Sizes that Triton does not specialise (for 1 and for multiples of 16): one compiled kernel for all lengths.
SIZES = ["num_frames", "num_heads", "batch_stride", "head_stride", "frame_stride"]


@triton.jit(do_not_specialize=SIZES)
def attend_forward(
    query,
    key,
    value,
    gate,  # (B, H, F) fp32 or None
    table,  # (H, 2F - 1) fp32 or None
    num_valid,  # (B,) int64 or None
    kept,  # (B, H, F, words) int32 or None; an even number of words
    out,
    log_sums,  # (B, H, F) fp32: log2 of each row's sum of exponentials
    num_frames,
    num_heads,
    batch_stride,
    head_stride,
    frame_stride,
    scale,
    boost,
    size: tl.constexpr,
    width: tl.constexpr,
    unit: tl.constexpr,
    rows: tl.constexpr,
    keys: tl.constexpr,
):
    """Output and log-sum-exp of one block of queries."""
    blocks = tl.cdiv(num_frames, rows)
    pair = tl.program_id(0) // blocks
    start = tl.program_id(0) % blocks * rows
    batch, head = (pair // num_heads).to(tl.int64), pair % num_heads
    frame_stride *= unit
    shift = (batch * batch_stride + head * head_stride) * unit
    num_keys = num_frames if num_valid is None else tl.load(num_valid + batch).to(tl.int32)

    i = start + tl.arange(0, rows)
    q = load_rows(query + shift, i, num_frames, frame_stride, size, width)
    if gate is not None:
        g = tl.load(gate + pair.to(tl.int64) * num_frames + i, mask=i < num_frames, other=0.0)
        g *= LOG2_E
    offsets = tl.arange(0, keys)[None, :] - tl.arange(0, rows)[:, None]
    top = tl.full([rows], float("-inf"), tl.float32)
    sums = tl.zeros([rows], tl.float32)
    weighted = tl.zeros([rows, width], tl.float32)
    for first in range(0, num_keys, keys):
        j = first + tl.arange(0, keys)
        k = load_rows(key + shift, j, num_keys, frame_stride, size, width)
        v = load_rows(value + shift, j, num_keys, frame_stride, size, width)
        padding = tl.where(j < num_keys, 0.0, float("-inf"))[None, :]
        if gate is not None:
            band = bias_band(table, head, first - start, num_frames, offsets, rows, keys)
            padding = g[:, None] * band + padding
        s = tl.dot(q, tl.trans(k), input_precision="ieee") * (scale * LOG2_E) + padding
        higher = tl.maximum(top, tl.max(s, 1))
        p = tl.exp2(s - higher[:, None])
        shrink = tl.exp2(top - higher)
        sums = sums * shrink + tl.sum(p, 1)
        if kept is not None:
            p = tl.where(keep_tile(kept, pair, i, first, num_frames, keys), p, 0.0)
        weighted = tl.dot(p.to(v.dtype), v, weighted * shrink[:, None], input_precision="ieee")
        top = higher
    weighted *= (boost / sums)[:, None]
    shift = (batch * num_frames * num_heads + head) * size
    store_rows(out + shift, weighted, i, num_frames, num_heads * size, size, width)
    tl.store(log_sums + pair.to(tl.int64) * num_frames + i, top + tl.log2(sums), mask=i < num_frames)


@triton.jit(do_not_specialize=SIZES)
def attend_backward_queries(
    query,
    key,
    value,
    gate,
    table,
    num_valid,
    kept,
    out,
    d_out,
    log_sums,
    rows,  # (B, H, blocks * n, 4) fp32, written: log-sum-exp, gate, rowsum(dO O), nothing
    d_query,
    d_gate,  # (B, H, F) fp32 or None
    d_distances,  # (B, H, blocks, blocks + 1, n) fp32 or None: see `flash.sum_distances`
    num_frames,
    num_heads,
    batch_stride,
    head_stride,
    frame_stride,
    scale,
    boost,
    size: tl.constexpr,
    width: tl.constexpr,
    unit: tl.constexpr,
    n: tl.constexpr,
):
    """dQ, dgate and rowsum(dO O) of one block of n queries, and its terms of dtable."""
    blocks = tl.cdiv(num_frames, n)
    pair = tl.program_id(0) // blocks
    block = tl.program_id(0) % blocks
    start = block * n
    batch, head = (pair // num_heads).to(tl.int64), pair % num_heads
    frame_stride *= unit
    shift = (batch * batch_stride + head * head_stride) * unit
    out_shift = (batch * num_frames * num_heads + head) * size
    row = pair.to(tl.int64) * num_frames
    num_keys = num_frames if num_valid is None else tl.load(num_valid + batch).to(tl.int32)

    i = start + tl.arange(0, n)
    inside = i < num_frames
    q = load_rows(query + shift, i, num_frames, frame_stride, size, width)
    d_o = load_rows(d_out + out_shift, i, num_frames, num_heads * size, size, width)
    o = load_rows(out + out_shift, i, num_frames, num_heads * size, size, width)
    dot = tl.sum(d_o.to(tl.float32) * o.to(tl.float32), 1)
    log_sum = tl.load(log_sums + row + i, mask=inside, other=float("inf"))  # 2^-inf: no weight
    at = rows + ((pair.to(tl.int64) * blocks + block) * n + tl.arange(0, n)) * 4
    tl.store(at, log_sum)
    tl.store(at + 2, dot)
    if gate is not None:
        g = tl.load(gate + row + i, mask=inside, other=0.0)
        tl.store(at + 1, g * LOG2_E)
        # Blocks in reverse order: then the rows are in the order in which `flash.sum_distances` shifts them.
        d_row = d_distances + (pair.to(tl.int64) * blocks + blocks - 1 - block) * (blocks + 1) * n
    offsets = tl.arange(0, n)[None, :] - tl.arange(0, n)[:, None]
    dq = tl.zeros([n, width], tl.float32)
    dg = tl.zeros([n], tl.float32)
    carried = tl.zeros([n], tl.float32)
    for first in range(0, num_keys, n):
        j = first + tl.arange(0, n)
        k = load_rows(key + shift, j, num_keys, frame_stride, size, width)
        v = load_rows(value + shift, j, num_keys, frame_stride, size, width)
        s = tl.dot(q, tl.trans(k), input_precision="ieee") * (scale * LOG2_E)
        if gate is not None:
            band = bias_band(table, head, first - start, num_frames, offsets, n, n)
            s += (g * LOG2_E)[:, None] * band - log_sum[:, None]
        else:
            s -= log_sum[:, None]
        p = tl.where((j < num_keys)[None, :], tl.exp2(s), 0.0)
        dp = tl.dot(d_o, tl.trans(v), input_precision="ieee")
        if kept is not None:
            keeps = keep_tile(kept, pair, i, first, num_frames, n)
            dp = tl.where(keeps, dp * boost - dot[:, None], -dot[:, None])
        else:
            dp -= dot[:, None]
        ds = p * dp
        if gate is not None:
            dg += tl.sum(ds * band, 1)
            above, below = diagonal_sums(ds * g[:, None], n)
            tl.store(d_row + j, carried + below)
            carried = above
        dq = tl.dot(ds.to(k.dtype), k, dq, input_precision="ieee")
    store_rows(d_query + out_shift, dq * scale, i, num_frames, num_heads * size, size, width)
    if gate is not None:
        tl.store(d_gate + row + i, dg, mask=inside)
        last = tl.cdiv(num_keys, n) * n
        for first in range(last, (blocks + 1) * n, n):
            tl.store(d_row + first + tl.arange(0, n), carried)
            carried = tl.zeros([n], tl.float32)  # padding has no gradient


@triton.jit(do_not_specialize=SIZES)
def attend_backward_keys(
    query,
    key,
    value,
    table,
    num_valid,
    kept,
    d_out,
    rows,
    d_key,
    d_value,
    num_frames,
    num_heads,
    batch_stride,
    head_stride,
    frame_stride,
    scale,
    boost,
    size: tl.constexpr,
    width: tl.constexpr,
    unit: tl.constexpr,
    n: tl.constexpr,
):
    """dK and dV of one block of n keys. Tiles are transposed: rows are keys, columns are queries."""
    blocks = tl.cdiv(num_frames, n)
    pair = tl.program_id(0) // blocks
    start = tl.program_id(0) % blocks * n
    batch, head = (pair // num_heads).to(tl.int64), pair % num_heads
    frame_stride *= unit
    shift = (batch * batch_stride + head * head_stride) * unit
    out_shift = (batch * num_frames * num_heads + head) * size
    rows += pair.to(tl.int64) * blocks * n * 4
    num_keys = num_frames if num_valid is None else tl.load(num_valid + batch).to(tl.int32)

    j = start + tl.arange(0, n)
    k = load_rows(key + shift, j, num_keys, frame_stride, size, width)
    v = load_rows(value + shift, j, num_keys, frame_stride, size, width)
    offsets = tl.arange(0, n)[:, None] - tl.arange(0, n)[None, :]
    dk = tl.zeros([n, width], tl.float32)
    dv = tl.zeros([n, width], tl.float32)
    # A block that is all padding has no gradient: its loop is empty.
    for first in range(0, tl.where(start < num_keys, num_frames, 0), n):
        i = first + tl.arange(0, n)
        q = load_rows(query + shift, i, num_frames, frame_stride, size, width)
        d_o = load_rows(d_out + out_shift, i, num_frames, num_heads * size, size, width)
        # One contiguous load: each entry of a short vector would be loaded by 32 threads.
        row = tl.reshape(tl.load(rows + first * 4 + tl.arange(0, 4 * n)), [n, 2, 2])
        even, odd = tl.split(row)
        log_sum, dot = tl.split(even)
        s = tl.dot(k, tl.trans(q), input_precision="ieee") * (scale * LOG2_E)
        if table is not None:
            g, _ = tl.split(odd)
            band = bias_band(table, head, start - first, num_frames, offsets, n, n)
            s += g[None, :] * band - log_sum[None, :]
        else:
            s -= log_sum[None, :]
        p = tl.exp2(s)
        dp = tl.dot(v, tl.trans(d_o), input_precision="ieee")
        kept_p = p
        if kept is not None:
            keeps = tl.trans(keep_tile(kept, pair, i, start, num_frames, n))
            kept_p = tl.where(keeps, p, 0.0)
            dp = tl.where(keeps, dp * boost - dot[None, :], -dot[None, :])
        else:
            dp -= dot[None, :]
        dv = tl.dot(kept_p.to(d_o.dtype), d_o, dv, input_precision="ieee")
        ds = p * dp
        dk = tl.dot(ds.to(q.dtype), q, dk, input_precision="ieee")
    # The log-sum-exp does not bound the logits of padding, so its rows may hold anything: set them to zero.
    valid = (j < num_keys)[:, None]
    dk = tl.where(valid, dk * scale, 0.0)
    dv = tl.where(valid, dv * boost, 0.0)
    store_rows(d_key + out_shift, dk, j, num_frames, num_heads * size, size, width)
    store_rows(d_value + out_shift, dv, j, num_frames, num_heads * size, size, width)
