"""The convolutions from waveforms to features with few bytes moved and few kept.

`wavlm.nn.conv` says what is computed; this package computes the same, values and gradients:

- the first convolution and its norm are one filter bank on patches of the waveform, as the norm's
  statistics follow from those of the patches (`fold`);
- every later convolution is a few matrix products on strided views (`strided`), channels last;
- the backward keeps each convolution's output and computes norms and GELUs again (`stack`), in
  blocks that stay in the cache (`blocks`) or in kernels for CUDA (`kernels`).

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
    """Whether `features` can be used: it has no gradient to the waveform, and needs fp64."""
    wanted = waveforms.requires_grad and torch.is_grad_enabled()
    return waveforms.device.type in ("cpu", "cuda") and not wanted


def features(
    waveforms: Tensor,
    num_samples: Tensor | None,
    convs: Sequence[nn.Conv1d],
    norms: Sequence[nn.GroupNorm | nn.LayerNorm],
) -> Tensor:
    """(B, N) -> (B, F, C). A GroupNorm: one channel each, after the first convolution alone.
    LayerNorms: over channels, after every convolution.

    num_samples (B,): the GroupNorm's statistics are of each row's first samples; None: of all.

    Under autocast the waveform, the folded filters and everything between a convolution's output
    and the next one's input stay in fp32; what convolutions read and write is in bf16. A chain of
    separate modules would also round the waveform, the first filters, the first convolution's
    output and each norm's output.
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
