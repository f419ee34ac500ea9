"""The convolutional feature encoder: from waveforms to features (docs/algorithm.md section 2).

B utterances, N samples, C channels, F frames.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavlm.nn import front
from wavlm.specs import NetworkSpec

NORM_EPS = 1e-5
WAVEFORM_EPS = 1e-5  # as in the original training code; the feature extractor of transformers uses 1e-7


def normalise_padded(waveforms: Tensor, num_samples: Tensor, network: NetworkSpec) -> Tensor:
    """Waveforms (B, N) with what lies behind the `num_samples` (B,) of each row set to zero.

    In the Large style the samples of each row have mean 0 and variance 1. Both are on one device.
    """
    count = num_samples[:, None]
    padding = torch.arange(waveforms.shape[1], device=waveforms.device) >= count
    waveforms = waveforms.masked_fill(padding, 0)
    if not network.normalize_waveform:
        return waveforms
    mean = waveforms.sum(1, keepdim=True) / count
    centred = (waveforms - mean).masked_fill(padding, 0)
    variance = centred.square().sum(1, keepdim=True) / count
    return centred * torch.rsqrt(variance + WAVEFORM_EPS)


class FeatureEncoder(nn.Module):
    """Strided convolutions without padding, each followed by an exact (erf) GELU.

    Group style (Base): one norm per channel over time, after the first convolution only.
    Layer style (Large): a LayerNorm over channels after every convolution.
    """

    def __init__(self, network: NetworkSpec) -> None:
        super().__init__()
        inputs = [1, *(layer.channels for layer in network.conv_layers[:-1])]
        self.convs = nn.ModuleList(
            nn.Conv1d(before, layer.channels, layer.kernel, layer.stride, bias=network.conv_bias)
            for before, layer in zip(inputs, network.conv_layers, strict=True)
        )
        normed = network.conv_layers if network.extractor_norm == "layer" else network.conv_layers[:1]
        norm = ChannelNorm if network.extractor_norm == "layer" else TimeNorm
        self.norms = nn.ModuleList(norm(layer.channels) for layer in normed)
        for conv in self.convs:
            nn.init.kaiming_normal_(cast("Tensor", conv.weight))

    def forward(self, waveforms: Tensor, num_samples: Tensor | None = None) -> Tensor:
        """(B, N) -> (B, F, C).

        num_samples (B,): samples of each row without its padding. Then the valid frames are those of the
        utterance without padding, in both styles.
        None: in the group style the statistics cover the whole row, so padding changes the frames of an utterance.
        """
        if front.covers(waveforms):
            return front.features(waveforms, num_samples, [*self.convs], [*self.norms])
        return self.forward_plain(waveforms, num_samples)

    def forward_plain(self, waveforms: Tensor, num_samples: Tensor | None = None) -> Tensor:
        """The definition: what `forward` computes, with torch's own modules."""
        x = waveforms.unsqueeze(1)  # (B, 1, N)
        num_frames = num_samples
        for number, conv in enumerate(cast("Iterable[nn.Conv1d]", self.convs)):
            x = conv(x)
            if num_frames is not None:
                num_frames = (num_frames - conv.kernel_size[0]) // conv.stride[0] + 1
            if number < len(self.norms):
                x = self.norms[number](x, num_frames)
            x = functional.gelu(x)
        return x.transpose(1, 2)  # (B, F, C)


class TimeNorm(nn.GroupNorm):
    """Norm of each channel over time, computed in fp32 or wider. (B, C, F) -> (B, C, F)"""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, eps=NORM_EPS)

    def forward(self, input: Tensor, num_frames: Tensor | None = None) -> Tensor:  # noqa: A002
        """num_frames (B,): the statistics cover this many first frames of each row; None: all frames."""
        x = to_at_least_fp32(input)
        if num_frames is None:
            return super().forward(x).to(input.dtype)
        count = num_frames.to(x.device, non_blocking=True)[:, None, None]
        inside = torch.arange(x.shape[2], device=x.device) < count  # (B, 1, F)
        centred = x - (x * inside).sum(2, keepdim=True) / count
        variance = (centred.square() * inside).sum(2, keepdim=True) / count
        normed = centred * torch.rsqrt(variance + self.eps)
        return (normed * self.weight[:, None] + self.bias[:, None]).to(input.dtype)


class ChannelNorm(nn.LayerNorm):
    """Norm of each frame over channels, computed in fp32 or wider. (B, C, F) -> (B, C, F)"""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=NORM_EPS)

    def forward(self, input: Tensor, num_frames: Tensor | None = None) -> Tensor:  # noqa: A002, ARG002
        """num_frames: as in TimeNorm, not used, because no frame depends on another."""
        normed = super().forward(to_at_least_fp32(input).transpose(1, 2))
        return normed.transpose(1, 2).to(input.dtype)


class FrameNorm(nn.LayerNorm):
    """Norm of each frame over its channels. (..., C) -> (..., C)"""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        if input.device.type != "cpu":
            return super().forward(input)
        # On the CPU torch sums the gradients of weight and bias in the input's bf16: over 10 000 frames
        # the bias's is off by three quarters (docs/log.md, 2026-11-29).
        x, weight, bias = (to_at_least_fp32(y) for y in (input, self.weight, self.bias))
        normed = functional.layer_norm(x, self.normalized_shape, weight, bias, self.eps)
        return normed.to(input.dtype)


def to_at_least_fp32(x: Tensor) -> Tensor:
    """The tensor in fp32, or unchanged if it is in fp64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.scale, None


def scale_gradient(x: Tensor, scale: float) -> Tensor:
    """The same tensor; in backward its gradient is multiplied by `scale`."""
    if scale == 1.0:
        return x
    return cast("Tensor", _ScaleGradient.apply(x, scale))  # type: ignore[no-untyped-call]


class _ZeroGradients(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *parameters: Tensor) -> Tensor:
        ctx.save_for_backward(*parameters)
        return x.clone()  # FSDP2 attaches hooks to the output of a layer, which must not be a view

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return gradients[0], *(torch.zeros_like(parameter) for parameter in ctx.saved_tensors)


def attach_zero_gradients(x: Tensor, parameters: list[Tensor]) -> Tensor:
    """The same tensor; in backward the parameters, which are not used, get gradients of zero.

    This is what a dropped layer computes. Data-parallel training then gets a gradient for every parameter on every
    rank, and need not search for unused parameters.
    """
    return cast("Tensor", _ZeroGradients.apply(x, *parameters))  # type: ignore[no-untyped-call]
