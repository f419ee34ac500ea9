"""A fast convolutional feature encoder: it reads and writes little memory, and keeps little for backward.

`wavlm.nn.conv` defines what is computed. This package computes the same values and gradients:

- The first convolution and its norm are one filter bank on patches of the waveform, because the statistics of the
  norm follow from those of the patches (`fold`).
- Every later convolution is a few matrix products on strided views, channels last (`strided`).
- The backward keeps the output of each convolution and computes norms and GELUs again (`stack`): in blocks that
  stay in the cache (`blocks`), or in kernels for CUDA (`whole`, `kernels`).

B utterances, N samples, F frames, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from wavlm.nn.front.fold import channel_norm_filters, time_norm_filters
from wavlm.nn.front.stack import encode_features


def covers(waveforms: Tensor) -> bool:
    """Whether `features` supports this input. It has no gradient of the waveform, and needs a device with fp64."""
    wanted = waveforms.requires_grad and torch.is_grad_enabled()
    return waveforms.device.type in ("cpu", "cuda") and not wanted


def features(
    waveforms: Tensor,
    num_samples: Tensor | None,
    convs: Sequence[nn.Conv1d],
    norms: Sequence[nn.GroupNorm | nn.LayerNorm],
) -> Tensor:
    """(B, N) -> (B, F, C).

    norms: one GroupNorm with one channel per group, after the first convolution only; or LayerNorms over channels,
    one after every convolution.
    num_samples (B,): the statistics of the GroupNorm cover the first samples of each row, this many; None: all.

    Under autocast the waveform, the folded filters and everything between the output of a convolution and the input
    of the next stay in fp32. What convolutions read and write is in bf16. A chain of separate modules would also
    round the waveform, the first filters, the output of the first convolution and the output of each norm.
    """
    first, norm, later = convs[0], norms[0], convs[1:]
    wide = torch.promote_types(waveforms.dtype, torch.float32)
    signal, form = waveforms.to(wide).contiguous(), None
    if isinstance(norm, nn.GroupNorm):
        signal, filters = time_norm_filters(signal, num_samples, first, norm)
        scaled: Sequence[nn.GroupNorm | nn.LayerNorm] = ()
    else:
        filters, form = channel_norm_filters(first, norm)
        scaled = norms[1:]
    weights, biases = [conv.weight for conv in later], [conv.bias for conv in later]
    found = encode_features(
        signal,
        filters.to(wide),
        form,
        weights,
        [bias for bias in biases if bias is not None],
        [norm.weight for norm in scaled],
        [norm.bias for norm in scaled],
        [conv.stride[0] for conv in convs],
        norm.eps,
        compute_dtype(first.weight),
        keep=torch.is_grad_enabled() and any(p.requires_grad for p in [filters, *weights]),
    )
    return cast("Tensor", found[0])


def compute_dtype(weight: Tensor) -> torch.dtype:
    """What a convolution with this weight reads and writes, under autocast or without."""
    kind = weight.device.type
    if torch.is_autocast_enabled(kind) and weight.dtype != torch.float64:
        return torch.get_autocast_dtype(kind)
    return weight.dtype
