# A tile takes pointers and sizes one by one; Triton's decorator has no types.
# ruff: noqa: PLR0913, PLR0917
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
"""What tiles of attention are made of: rows, the bias, dropout, and sums along diagonals.

A tile holds rows r of queries i by columns c of keys j.

**Bias.** A tile's bias takes rows + keys - 1 entries of the table, those of its distances j - i.
They are loaded as one line, which a gather spreads over the tile out of shared memory: row r and
column c take entry c - r + rows - 1. That is one shared read a weight; a tile of loads would be as
many global reads, and a copy through shared memory on top.

**Sums along diagonals** give dtable: it sums gate_i dS_ij over equal j - i, which is c - r in a
tile of n by n. A gather skews the tile: row r is rotated left by r, so that column x holds what has
c - r = x where x + r < n (above the wrap), and what has c - r = x - n elsewhere (below it). The
column sums of the two parts are the sums along diagonals.

In a tensor core's result a warp holds 8 rows by 8 columns at a time, a thread two neighbours in a
row. A tile to be skewed is stored in blocks of 4 rows by 8 columns and read by warps of 4 rows by 8
neighbouring distances: both meet every bank of shared memory once.

**Dropout.** Which weights to keep is drawn ahead of the tiles, a bit each, 32 keys a word. Drawn
inside the tiles it would cost Philox in three kernels, and again in every thread that holds a part
of a row; this way a tile pays two or three operations a weight. The words of a call (F^2 / 8 bytes
a head) are freed when its kernel is done; the backward draws them again. A bit depends on the seed,
the row and the key alone, not on the tile. It is 1 with probability k / 2^m, given m random words:
from the lowest binary digit of k to the highest, `or` the next word for 1 and `and` it for 0, which
compares 32 random numbers of m digits with k at once.

B utterances, H heads, F frames, d head size; `width` is d rounded up to a power of two.
"""

from __future__ import annotations

import triton
import triton.language as tl

WORD = tl.constexpr(32)
DRAW_DIGITS = tl.constexpr(12)  # of the keep probability, a multiple of the 4 words of a Philox
PHILOX_ROUNDS = tl.constexpr(7)  # the fewest that pass BigCrush (Salmon et al. 2011, table 2)


@triton.jit(do_not_specialize=["seed", "num_draws", "words_a_row"])
def draw_kept(
    kept,  # (B * H * F * words) int32
    seed,
    num_draws,
    words_a_row,
    steps: tl.constexpr,  # of 2^DRAW_DIGITS: weights to keep
    block: tl.constexpr,
):
    """Bit j % 32 of word j // 32 of a row: whether to keep the weight of key j."""
    draw = tl.program_id(0) * block + tl.arange(0, block)
    row, word = draw // words_a_row, draw % words_a_row
    bits = tl.zeros([block], tl.uint32)
    for call in tl.static_range(DRAW_DIGITS // 4):
        # Below its lowest 1 the digits of `steps` leave every bit at 0.
        if steps % (1 << (4 * call + 4)) != 0:
            a, b, c, d = tl.philox(seed, word * (DRAW_DIGITS // 4) + call, row, row * 0, row * 0, PHILOX_ROUNDS)
            bits = a | bits if (steps >> (4 * call)) & 1 else a & bits
            bits = b | bits if (steps >> (4 * call + 1)) & 1 else b & bits
            bits = c | bits if (steps >> (4 * call + 2)) & 1 else c & bits
            bits = d | bits if (steps >> (4 * call + 3)) & 1 else d & bits
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
def bias_band(table, head, first, num_frames, steps, rows: tl.constexpr, keys: tl.constexpr):
    """The table at j - i = first + steps, in the shape of `steps`; steps >= 1 - rows."""
    length = 2 * num_frames - 1
    at = num_frames - rows + first + tl.arange(0, 2 * max(rows, keys))
    line = tl.load(table + head * length + at, mask=(at >= 0) & (at < length), other=0.0)
    picked = tl.gather(line, tl.reshape(steps + (rows - 1), [rows * keys]), 0)
    return tl.reshape(picked, steps.shape)


@triton.jit
def keep_tile(kept, pair, i, first, num_frames, keys: tl.constexpr):
    """Which weights of queries i and the keys from `first` on to keep, (rows, keys)."""
    words_a_row = tl.cdiv(num_frames, 2 * WORD) * 2
    at = kept + (pair.to(tl.int64) * num_frames + i[:, None]) * words_a_row
    at += first // (2 * WORD) * 2 + tl.arange(0, 2)[None, :]
    low, high = tl.split(tl.load(at, mask=(i < num_frames)[:, None], other=0))
    bit = tl.arange(0, keys)[None, :]
    if keys < 2 * WORD:
        bit += first % 64
    word = tl.where(bit < WORD, low[:, None], high[:, None])
    # Two shifts: the first is the same for all of a thread's columns, the second is constant.
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
