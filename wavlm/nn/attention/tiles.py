# Kernels take many pointers and sizes. Triton's decorator has no types.
# ruff: noqa: PLR0913, PLR0917
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
"""Parts of the attention kernels: loading rows, the bias of a tile, its dropout, and sums along its diagonals.

A tile holds rows r of queries i by columns c of keys j.

**Bias.** The bias of a tile needs rows + keys - 1 entries of the table, one per distance j - i. They are loaded as
one vector. A gather from shared memory then fills the tile: row r and column c take entry c - r + rows - 1. That is
one read of shared memory per weight. Loading the tile directly would be as many reads of global memory, and a copy
through shared memory as well.

**Sums along diagonals** give dtable, the sum of gate_i dS_ij over equal j - i. In a tile of n by n, j - i is c - r
and a constant. A gather skews the tile: row r is rotated left by r. Column x then holds the entries with c - r = x
where x + r < n (above the wrap), and those with c - r = x - n elsewhere (below the wrap). The column sums of the
two parts are the sums along diagonals.

In the result of a tensor core a warp holds 8 rows by 8 columns at a time, and a thread two neighbours in a row. A
tile to be skewed is stored in blocks of 4 rows by 8 columns and read by warps of 4 rows by 8 neighbouring
distances: both use every bank of shared memory once.

**Dropout.** Which weights to keep is drawn before the attention kernels run: one bit per weight, 32 keys per word.
Drawn inside the tiles, Philox would run in three kernels, and again in every thread that holds a part of a row.
With bits a tile needs two or three operations per weight. The words of a call (F^2 / 8 bytes per head) are freed
when its kernel is done; the backward draws them again. A bit depends only on the seed, the row and the key, not on
the tile. It is 1 with probability k / 2^m, computed from m random words: go through the binary digits of k from the
lowest to the highest, and `or` the next word for a 1, `and` it for a 0. That compares 32 random numbers of m digits
with k at once.

B utterances, H heads, F frames, d head size; `width` is d rounded up to a power of two.
"""

from __future__ import annotations

import triton
import triton.language as tl

WORD = tl.constexpr(32)
DRAW_DIGITS = tl.constexpr(12)  # of the keep probability, a multiple of the 4 words of a Philox
PHILOX_ROUNDS = tl.constexpr(7)  # the fewest that pass BigCrush (Salmon et al. 2011, table 2)


@triton.jit(do_not_specialize=["seed", "num_draws", "words_per_row"])
def draw_kept(
    kept,  # (B * H * F * words) int32
    seed,
    num_draws,
    words_per_row,
    levels: tl.constexpr,  # of the 2^DRAW_DIGITS values of a draw, those that keep a weight
    block: tl.constexpr,
):
    """Bit j % 32 of word j // 32 of a row: 1 if the weight of key j is kept."""
    draw = tl.program_id(0) * block + tl.arange(0, block)
    row, word = draw // words_per_row, draw % words_per_row
    bits = tl.zeros([block], tl.uint32)
    for call in tl.static_range(DRAW_DIGITS // 4):
        # Digits of `levels` below its lowest 1 leave every bit at 0.
        if levels % (1 << (4 * call + 4)) != 0:
            a, b, c, d = tl.philox(seed, word * (DRAW_DIGITS // 4) + call, row, row * 0, row * 0, PHILOX_ROUNDS)
            bits = a | bits if (levels >> (4 * call)) & 1 else a & bits
            bits = b | bits if (levels >> (4 * call + 1)) & 1 else b & bits
            bits = c | bits if (levels >> (4 * call + 2)) & 1 else c & bits
            bits = d | bits if (levels >> (4 * call + 3)) & 1 else d & bits
    tl.store(kept + draw, bits.to(tl.int32, bitcast=True), mask=draw < num_draws)


@triton.jit
def load_rows(base, row, num_rows, stride, size: tl.constexpr, width: tl.constexpr):
    """(rows, width) of a matrix whose rows are `stride` apart; zeros beyond `num_rows`."""
    column = tl.arange(0, width)[None, :]
    mask = (row < num_rows)[:, None]
    if size != width:
        mask = mask & (column < size)
    return tl.load(base + row[:, None] * stride + column, mask=mask, other=0.0)


@triton.jit
def store_rows(base, tile, row, num_rows, stride, size: tl.constexpr, width: tl.constexpr):
    column = tl.arange(0, width)[None, :]
    mask = (row < num_rows)[:, None]
    if size != width:
        mask = mask & (column < size)
    tl.store(base + row[:, None] * stride + column, tile.to(base.dtype.element_ty), mask=mask)


@triton.jit
def bias_band(table, head, first, num_frames, offsets, rows: tl.constexpr, keys: tl.constexpr):
    """The entries of the table at j - i = first + offsets, in the shape of `offsets`, which are at least 1 - rows."""
    length = 2 * num_frames - 1
    at = num_frames - rows + first + tl.arange(0, 2 * max(rows, keys))
    line = tl.load(table + head * length + at, mask=(at >= 0) & (at < length), other=0.0)
    picked = tl.gather(line, tl.reshape(offsets + (rows - 1), [rows * keys]), 0)
    return tl.reshape(picked, offsets.shape)


@triton.jit
def keep_tile(kept, pair, i, first, num_frames, keys: tl.constexpr):
    """Which weights to keep of queries i and the keys from `first` on: (rows, keys) bool."""
    words_per_row = tl.cdiv(num_frames, 2 * WORD) * 2
    at = kept + (pair.to(tl.int64) * num_frames + i[:, None]) * words_per_row
    at += first // (2 * WORD) * 2 + tl.arange(0, 2)[None, :]
    low, high = tl.split(tl.load(at, mask=(i < num_frames)[:, None], other=0))
    bit = tl.arange(0, keys)[None, :]
    if keys < 2 * WORD:
        bit += first % 64
    word = tl.where(bit < WORD, low[:, None], high[:, None])
    # Two shifts: the first is the same for all columns of a thread, the second is constant.
    return (((word >> (bit & 6)) >> (bit & 25)) & 1) != 0


@triton.jit
def diagonal_sums(x, n: tl.constexpr):
    """(n, n) -> sums of x[r, c] over c - r = 0..n-1, and over c - r = -n..-1; (n,) each."""
    blocks = tl.permute(tl.reshape(x, [n // 4, 4, n // 8, 8]), [0, 2, 1, 3])
    at = tl.arange(0, n * n)  # row block, distance block, row in block, distance in block
    row = at // (4 * n) * 4 + at // 8 % 4
    distance = at // 32 % (n // 8) * 8 + at % 8
    column = (row + distance) % n
    source = ((row // 4 * (n // 8) + column // 8) * 4 + row % 4) * 8 + column % 8
    skewed = tl.gather(tl.reshape(blocks, [n * n]), source, 0)
    above = _column_sums(tl.where(row + distance < n, skewed, 0.0), n)
    return above, _column_sums(skewed, n) - above


@triton.jit
def _column_sums(blocks, n: tl.constexpr):
    """(n * n) in blocks of 4 by 8 -> sum over rows (n,)."""
    tile = tl.permute(tl.reshape(blocks, [n // 4, n // 8, 4, 8]), [0, 2, 1, 3])
    return tl.sum(tl.reshape(tile, [n, n]), 0)
