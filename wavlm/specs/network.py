"""The shape of the network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wavlm.specs.base import Count, Probability, Spec


class ConvLayer(Spec):
    channels: Count
    kernel: Count
    stride: Count


def paper_conv_layers(channels: int = 512) -> tuple[ConvLayer, ...]:
    """The seven convolutions of docs/algorithm.md section 2."""
    kernels, strides = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
    return tuple(
        ConvLayer(channels=channels, kernel=kernel, stride=stride)
        for kernel, stride in zip(kernels, strides, strict=True)
    )


class NetworkSpec(Spec):
    """The network (docs/algorithm.md 1-4). Base: group, post-norm; Large: layer, pre-norm."""

    extractor_norm: Literal["group", "layer"]
    norm_first: bool
    normalize_waveform: bool
    conv_layers: tuple[ConvLayer, ...] = paper_conv_layers()
    conv_bias: bool = False
    width: Count
    ffn_width: Count
    num_layers: Count
    num_heads: Count
    position_kernel: Count = 128
    position_groups: Count = 16
    gated_bias: bool = True  # False: HuBERT, no relative position bias at all
    num_buckets: Annotated[int, Field(ge=4, multiple_of=2)] = 320
    max_distance: Count = 800
    dropout: Probability = 0.1
    attention_dropout: Probability = 0.1
    activation_dropout: Probability = 0.0
    input_dropout: Probability = 0.1
    layer_drop: Probability = 0.05
    feature_grad_mult: Probability = 0.1
    projection_width: Count = 256
    special_symbols: Literal[0, 4] = 0  # 4: fairseq's dictionary rows, never targets

    @model_validator(mode="after")
    def _check_divisible(self) -> NetworkSpec:
        for what, divisor in (
            ("num_heads", self.num_heads),
            ("position_groups", self.position_groups),
        ):
            if self.width % divisor:
                raise ValueError(f"width {self.width} is not divisible by {what} {divisor}")
        return self
