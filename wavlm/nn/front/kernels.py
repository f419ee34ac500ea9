# Kernels take many pointers and sizes and are long. Whether there is a norm or a factor is decided at compile time,
# so the variables that depend on it are always defined. Triton's decorator has no types.
# ruff: noqa: PLR0913, PLR0915, PLR0917
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, possibly-undefined"
"""Triton kernels for the input of a convolution: the same functions as in `blocks`.

Each tile of values is read once and written once; everything between is in fp32 registers. The folded convolution
reads its patches from the waveform (k multiply-adds per value). Norm, GELU (by erf) and their derivatives follow. The
backward also writes the values again. That costs only the write, because it has computed them anyway.

Sums over rows (gradients of filters, scales and shifts) take two passes. Each program sums its own rows and writes
the result to memory of its own. A second pass adds the results. Nothing is atomic, so equal inputs give equal bits.

B utterances, P padded frames, R rows (B P), C channels, k taps, K rows of the filter bank.
"""

from __future__ import annotations

import triton
import triton.language as tl

SQRT_HALF = tl.constexpr(0.7071067811865476)
DENSITY_AT_0 = tl.constexpr(0.3989422804014327)  # of the normal distribution


@triton.jit(do_not_specialize=["num_samples", "num_frames", "padded"])
def forward_folded(
    signal,  # (B, N) fp32
    filters,  # (B or 1, K, C) fp32
    factors,  # (B, F) fp32, if scaled
    values,  # (B P, C)
    num_samples,
    num_frames,
    padded,
    channels,
    bank_stride,  # from the filters of one utterance to those of the next
    stride: tl.constexpr,
    kernel: tl.constexpr,
    scaled: tl.constexpr,
    num_rows: tl.constexpr,
    num_columns: tl.constexpr,
):
    """GELU of factor * (filters . patch + bias) + offset; 0 in rows after the last frame."""
    utterance = tl.program_id(1).to(tl.int64)
    tile, strip = _tile_and_strip(channels, num_columns)
    columns = strip * num_columns + tl.arange(0, num_columns)
    rows = tile * num_rows + tl.arange(0, num_rows)
    is_frame, is_channel = rows < num_frames, columns < channels
    factor = tl.full((num_rows,), 1.0, tl.float32)
    if scaled:
        factor = tl.load(factors + utterance * num_frames + rows, mask=is_frame, other=0.0)
    before, _ = _before(
        signal + utterance * num_samples + rows * stride,
        filters + utterance * bank_stride + columns,
        factor,
        is_frame,
        is_channel,
        channels,
        kernel,
        scaled,
    )
    after = tl.where(is_frame[:, None], before * _normal_cdf(before), 0.0)
    place = (utterance * padded + rows)[:, None] * channels + columns[None, :]
    is_there = (rows < padded)[:, None] & is_channel[None, :]
    tl.store(values + place, after.to(values.dtype.element_ty), mask=is_there)


@triton.jit(do_not_specialize=["num_samples", "num_frames", "padded"])
def backward_folded(
    signal,  # (B, N) fp32
    filters,  # (B or 1, K, C) fp32
    factors,  # (B, F) fp32, if scaled
    d_values,  # (B P, C)
    values,  # (B P, C)
    filter_sums,  # (B, tiles, K, C) fp32
    factor_sums,  # (strips, B, F) fp32, if scaled
    num_samples,
    num_frames,
    padded,
    channels,
    bank_stride,
    stride: tl.constexpr,
    kernel: tl.constexpr,
    scaled: tl.constexpr,
    num_rows: tl.constexpr,
    num_columns: tl.constexpr,
):
    """The values, and the terms of each tile in d filters and in factor * d factor."""
    utterance = tl.program_id(1).to(tl.int64)
    tile, strip = _tile_and_strip(channels, num_columns)
    columns = strip * num_columns + tl.arange(0, num_columns)
    rows = tile * num_rows + tl.arange(0, num_rows)
    is_frame, is_channel = rows < num_frames, columns < channels
    factor = tl.full((num_rows,), 1.0, tl.float32)
    if scaled:
        factor = tl.load(factors + utterance * num_frames + rows, mask=is_frame, other=0.0)
    patch = signal + utterance * num_samples + rows * stride
    before, offset = _before(
        patch,
        filters + utterance * bank_stride + columns,
        factor,
        is_frame,
        is_channel,
        channels,
        kernel,
        scaled,
    )
    cdf = _normal_cdf(before)
    place = (utterance * padded + rows)[:, None] * channels + columns[None, :]
    is_there = (rows < padded)[:, None] & is_channel[None, :]
    after = tl.where(is_frame[:, None], before * cdf, 0.0)
    tl.store(values + place, after.to(values.dtype.element_ty), mask=is_there)
    is_value = is_frame[:, None] & is_channel[None, :]
    d_after = tl.load(d_values + place, mask=is_value, other=0.0).to(tl.float32)
    d_before = d_after * (cdf + before * _normal_density(before))

    num_strips = tl.cdiv(channels, num_columns)
    num_tiles = tl.num_programs(0) // num_strips
    sums = filter_sums + (utterance * num_tiles + tile) * (kernel + 1 + scaled) * channels + columns
    if scaled:
        d_factor = tl.sum(d_before * (before - offset[None, :]), axis=1)
        row = (strip * tl.num_programs(1) + utterance) * num_frames + rows
        tl.store(factor_sums + row, d_factor, mask=is_frame)
    tl.store(sums + (kernel + scaled) * channels, tl.sum(d_before, axis=0), mask=is_channel)
    if scaled:
        d_before *= factor[:, None]
        tl.store(sums + kernel * channels, tl.sum(d_before, axis=0), mask=is_channel)
    for tap in tl.static_range(kernel):
        sample = tl.load(patch + tap, mask=is_frame, other=0.0)
        total = tl.sum(d_before * sample[:, None], axis=0)
        tl.store(sums + tap * channels, total, mask=is_channel)


@triton.jit
def _tile_and_strip(channels, num_columns: tl.constexpr):
    """The tile of rows and the strip of columns of this program. Strips of one tile follow each other, as in memory."""
    num_strips = tl.cdiv(channels, num_columns)
    return tl.program_id(0) // num_strips, tl.program_id(0) % num_strips


@triton.jit
def _before(
    patch,
    bank,
    factor,
    is_frame,
    is_channel,
    channels,
    kernel: tl.constexpr,
    scaled: tl.constexpr,
):
    """The input of the GELU (rows, columns) and the offsets of the filters (columns)."""
    sample = tl.load(patch, mask=is_frame, other=0.0)
    before = sample[:, None] * tl.load(bank, mask=is_channel, other=0.0)[None, :]
    for tap in tl.static_range(1, kernel):
        sample = tl.load(patch + tap, mask=is_frame, other=0.0)
        weight = tl.load(bank + tap * channels, mask=is_channel, other=0.0)
        before += sample[:, None] * weight[None, :]
    if scaled:
        bias = tl.load(bank + kernel * channels, mask=is_channel, other=0.0)
        before = factor[:, None] * (before + bias[None, :])
    offset = tl.load(bank + (kernel + scaled) * channels, mask=is_channel, other=0.0)
    return before + offset[None, :], offset


@triton.jit(do_not_specialize=["num_rows"])
def forward_activation(
    z,  # (R, C)
    scale,  # (C)
    shift,  # (C)
    values,  # (R, C)
    num_rows,
    channels,
    eps,
    rows_at_once: tl.constexpr,
    width: tl.constexpr,
):
    """GELU of z, normed over channels."""
    rows = tl.program_id(0).to(tl.int64) * rows_at_once + tl.arange(0, rows_at_once)
    columns = tl.arange(0, width)
    is_channel = columns < channels
    is_there = (rows < num_rows)[:, None] & is_channel[None, :]
    place = rows[:, None] * channels + columns[None, :]
    x = tl.load(z + place, mask=is_there, other=0.0).to(tl.float32)
    gain = tl.load(scale + columns, mask=is_channel, other=0.0).to(tl.float32)
    offset = tl.load(shift + columns, mask=is_channel, other=0.0).to(tl.float32)
    normed, _ = _apply_norm(x, is_there, channels, eps)
    before = normed * gain[None, :] + offset[None, :]
    after = before * _normal_cdf(before)
    tl.store(values + place, after.to(values.dtype.element_ty), mask=is_there)


@triton.jit(do_not_specialize=["num_rows"])
def backward_activation(
    z,  # (R, C)
    d_values,  # (R, C)
    scale,  # (C), if normed
    shift,  # (C), if normed
    values,  # (R, C)
    dz,  # (R, C)
    norm_sums,  # (programs, 2, C) fp32, if normed
    num_rows,
    channels,
    eps,
    normed: tl.constexpr,
    rows_at_once: tl.constexpr,
    steps: tl.constexpr,
    width: tl.constexpr,
):
    """The values, dz, and the terms of each program in the gradients of scale and shift."""
    columns = tl.arange(0, width)
    is_channel = columns < channels
    d_scale = tl.zeros((rows_at_once, width), tl.float32)
    d_shift = tl.zeros((rows_at_once, width), tl.float32)
    for step in range(steps):
        first = (tl.program_id(0).to(tl.int64) * steps + step) * rows_at_once
        rows = first + tl.arange(0, rows_at_once)
        is_there = (rows < num_rows)[:, None] & is_channel[None, :]
        place = rows[:, None] * channels + columns[None, :]
        before = tl.load(z + place, mask=is_there, other=0.0).to(tl.float32)
        d_after = tl.load(d_values + place, mask=is_there, other=0.0).to(tl.float32)
        if normed:
            x, factor = _apply_norm(before, is_there, channels, eps)
            gain = tl.load(scale + columns, mask=is_channel, other=0.0).to(tl.float32)
            offset = tl.load(shift + columns, mask=is_channel, other=0.0).to(tl.float32)
            before = x * gain[None, :] + offset[None, :]
        cdf = _normal_cdf(before)
        tl.store(values + place, (before * cdf).to(values.dtype.element_ty), mask=is_there)
        d_before = d_after * (cdf + before * _normal_density(before))
        if normed:
            d_scale += d_before * x
            d_shift += d_before
            d_x = d_before * gain[None, :]
            mean = tl.sum(d_x, axis=1) / channels
            slope = tl.sum(d_x * x, axis=1) / channels
            d_before = factor[:, None] * (d_x - mean[:, None] - x * slope[:, None])
        tl.store(dz + place, d_before.to(dz.dtype.element_ty), mask=is_there)
    if normed:
        sums = norm_sums + tl.program_id(0).to(tl.int64) * 2 * channels + columns
        tl.store(sums, tl.sum(d_scale, axis=0), mask=is_channel)
        tl.store(sums + channels, tl.sum(d_shift, axis=0), mask=is_channel)


@triton.jit
def _apply_norm(x, is_there, channels, eps):
    """Rows with mean 0 and variance 1, and the factor of each row."""
    mean = tl.sum(x, axis=1) / channels
    centred = tl.where(is_there, x - mean[:, None], 0.0)
    factor = tl.rsqrt(tl.sum(centred * centred, axis=1) / channels + eps)
    return centred * factor[:, None], factor


@triton.jit
def _normal_cdf(x):
    return 0.5 + 0.5 * tl.erf(x * SQRT_HALF)


@triton.jit
def _normal_density(x):
    return DENSITY_AT_0 * tl.exp(-0.5 * x * x)
