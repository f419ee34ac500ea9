"""The first convolution and its norm as one filter bank on patches of the waveform.

The first convolution has one input channel: at frame t, channel c it gives z_tc = w_c . p_t + b_c,
where the patch p_t holds the k samples under frame t. The statistics of z follow from those of the patches.

Norm of each channel over time, with mu and S the mean and the covariance of an utterance's patches:

    mean_c = w_c . mu + b_c,    var_c = w_c' S w_c,    gain_c = scale_c / sqrt(var_c + eps)
    u_tc = (gain_c w_c) . p_t + (gain_c (b_c - mean_c) + shift_c)

A constant added to the waveform changes nothing. So the waveform is centred first, which keeps the offset small.

Norm of each frame over channels, where v_c is (w_c, b_c) minus its mean over the C channels, q_t = (p_t, 1) and
A = sum of v_c v_c' / C:

    u_tc = (scale_c v_c) . q_t / sqrt(q_t' A q_t + eps) + shift_c

The gradients of convolution and norm follow by the chain rule from those of the filters and A, which need two sums
over frames per channel and one per frame (`blocks`, `kernels`). The small sums in this file are in fp64: var_c is a
small difference of large terms if a filter stops most of the signal.

B utterances, N samples, F frames, C channels, k taps, K = k + 1 or k + 2 rows of a filter bank.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CHUNK_FRAMES = 512  # the products of this many frames are summed at a time; a GPU sums the chunks in parallel


def time_norm_filters(
    signal: Tensor, num_samples: Tensor | None, conv: nn.Conv1d, norm: nn.GroupNorm
) -> tuple[Tensor, Tensor]:
    """The centred signal (B, N), and fp64 filters (B, k + 1, C) for it: rows of taps, then of offsets."""
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    with torch.no_grad():
        signal = _centre(signal, num_samples)
        count = None if num_samples is None else (num_samples - kernel) // stride + 1
        mean, covariance = moments(signal, kernel, stride, count)
    weight, bias = _weight_and_bias(conv)
    variance = ((weight @ covariance) * weight).sum(2)  # (B, C)
    gain = norm.weight.double() * (variance + norm.eps).rsqrt()
    middle = mean @ weight.t() + bias
    offsets = gain * (bias - middle) + norm.bias.double()
    return signal, torch.cat([gain[:, None] * weight.t(), offsets[:, None]], 1)


def channel_norm_filters(conv: nn.Conv1d, norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
    """fp64 filters (1, k + 2, C): rows of taps, bias and shift; and the form A (k + 1, k + 1)."""
    weight, bias = _weight_and_bias(conv)
    augmented = torch.cat([weight, bias[:, None]], 1)  # (C, k + 1)
    centred = augmented - augmented.mean(0)
    form = centred.t() @ centred / len(centred)
    filters = norm.weight.double() * centred.t()
    return torch.cat([filters, norm.bias.double()[None]])[None], form


def moments(signal: Tensor, kernel: int, stride: int, count: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean (B, k) and covariance (B, k, k) of the patches of each row, in fp64.

    count (B,): use this many first patches of each row; None: all.
    """
    patches = signal.double().unfold(1, kernel, stride)  # (B, F, k)
    batch, frames, _ = patches.shape
    if count is None:
        total = torch.full((batch,), frames, dtype=torch.float64, device=signal.device)
    else:
        total = count.to(signal.device, non_blocking=True).double()
        frame = torch.arange(frames, device=signal.device)
        patches = patches * (frame < total[:, None])[:, :, None]
    patches = nn.functional.pad(patches, (0, 0, 0, -frames % CHUNK_FRAMES))
    chunks = patches.reshape(-1, CHUNK_FRAMES, kernel)
    products = (chunks.mT @ chunks).view(batch, -1, kernel, kernel).sum(1)
    mean = patches.sum(1) / total[:, None]
    return mean, products / total[:, None, None] - mean[:, :, None] * mean[:, None]


def _centre(signal: Tensor, num_samples: Tensor | None) -> Tensor:
    if num_samples is None:
        return signal - signal.double().mean(1, keepdim=True).to(signal.dtype)
    count = num_samples.to(signal.device, non_blocking=True)[:, None]
    inside = torch.arange(signal.shape[1], device=signal.device) < count
    mean = (signal.double() * inside).sum(1, keepdim=True) / count
    return signal - mean.to(signal.dtype)


def _weight_and_bias(conv: nn.Conv1d) -> tuple[Tensor, Tensor]:
    """(C, k) and (C,) in fp64."""
    weight = conv.weight[:, 0].double()
    bias = torch.zeros_like(weight[:, 0]) if conv.bias is None else conv.bias.double()
    return weight, bias
