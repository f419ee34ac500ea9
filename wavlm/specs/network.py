"""Network spec: the shape of the feature encoder, the transformer encoder and the prediction head."""

from __future__ import annotations

from math import prod
from typing import Annotated, Literal

from pydantic import Field, model_validator

from wavlm.specs.base import (
    FRAME_RATE_HZ,
    SAMPLE_RATE_HZ,
    SAMPLE_RATES_HZ,
    Count,
    FieldError,
    Probability,
    SampleRate,
    Spec,
)


class ConvLayer(Spec):
    """One convolution of the feature encoder."""

    channels: Count
    """Output channels.

    Source: docs/algorithm.md 2: 512.
    Change: fewer for a small network (24 to 112 in the demo).
    """

    kernel: Count
    """Width of the kernel.

    Unit: inputs of this layer; samples for the first one.
    Source: docs/algorithm.md 2: 10, 3, 3, 3, 3, 2, 2.
    Change: keep it, unless the sample rate is another one. All kernels together see 400 samples. A label is made of
    them.
    """

    stride: Count
    """Step between two outputs.

    Unit: inputs of this layer; samples for the first one.
    Source: docs/algorithm.md 2: 5, 2, 2, 2, 2, 2, 2.
    Change: with the sample rate. The product of all strides, 320, is the hop: there is a frame, and a label, every 320
    samples.
    """


def paper_conv_layers(channels: int = 512) -> tuple[ConvLayer, ...]:
    """The seven convolutions of docs/algorithm.md section 2."""
    kernels, strides = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
    return tuple(
        ConvLayer(channels=channels, kernel=kernel, stride=stride)
        for kernel, stride in zip(kernels, strides, strict=True)
    )


def rate_of_strides(conv_layers: tuple[ConvLayer, ...]) -> int:
    """The sample rate with 50 frames per second; that of released models, 16 kHz, if no shards can have it."""
    found = FRAME_RATE_HZ * prod(layer.stride for layer in conv_layers)
    return found if found in SAMPLE_RATES_HZ else SAMPLE_RATE_HZ


class NetworkSpec(Spec):
    """The shape of the network (docs/algorithm.md 1 to 4)."""

    extractor_norm: Literal["group", "layer"]
    """Norm in the feature encoder. `group`: after the first convolution; `layer`: after every convolution.

    Source: docs/algorithm.md 2: group for Base, layer for Large.
    Change: together with `norm_first` and `normalize_waveform`: all three as in Base, or all three as in Large.
    """

    norm_first: bool
    """Place of the layer norms in a transformer layer. False: after each block; True: before each block.

    Source: docs/algorithm.md 4: false for Base, true for Large.
    Change: true for deep networks.
    """

    normalize_waveform: bool
    """True: every waveform is scaled to mean 0 and variance 1 first.

    Source: docs/algorithm.md 7: false for Base, true for Large.
    Change: as in the style, Base or Large, that you follow.
    """

    conv_layers: tuple[ConvLayer, ...] = paper_conv_layers()
    """The convolutions of the feature encoder, first to last.

    Source: docs/algorithm.md 2.
    Change: fewer channels make a small network faster. Other kernels and strides are for other sample or frame rates.
    """

    sample_rate_hz: SampleRate | None = None
    """Samples per second of the waveforms. Frames per second are this number over the product of the strides.

    Not given: 50 times that product, so 16000 for the strides of the paper.
    Unit: Hz.
    Source: MERT has 24000 with the strides of the paper: 75 frames per second.
    Change: for another frame rate than 50 per second. It must be the rate of the shards. Leave it out where it is 50.
    """

    conv_bias: bool = False
    """True: the convolutions of the feature encoder have a bias.

    Source: docs/algorithm.md 1: false.
    Change: only to load a model that has them.
    """

    width: Count
    """Size of the vectors in the transformer. `num_heads` and `position_groups` must divide it.

    Source: docs/algorithm.md 1: 768 for Base, 1024 for Large.
    Change: with the amount of speech and computation: 128 in the demo.
    """

    ffn_width: Count
    """Size of the inner vectors of the feed-forward blocks.

    Source: docs/algorithm.md 1: 3072 for Base, 4096 for Large: four times `width`.
    Change: together with `width`.
    """

    num_layers: Count
    """Number of transformer layers.

    Source: docs/algorithm.md 1: 12 for Base, 24 for Large.
    Change: with the amount of speech and computation: 3 in the demo.
    """

    num_heads: Count
    """Number of attention heads.

    Source: docs/algorithm.md 1: 12 for Base, 16 for Large (contradiction C1).
    Change: together with `width`, so that a head has 64 channels.
    """

    position_kernel: Count = 128
    """Kernel of the convolution that adds positions to the transformer's input.

    Unit: frames.
    Source: docs/algorithm.md 3.9.
    Change: smaller for short crops (32 in the demo).
    """

    position_groups: Count = 16
    """Groups of that convolution. They must divide `width`.

    Source: docs/algorithm.md 3.9.
    Change: when `width` is not a multiple of 16.
    """

    gated_bias: bool = True
    """True: WavLM's gated relative position bias. False: HuBERT, without any relative position bias.

    Source: docs/algorithm.md 4.1, 4.2.
    Change: false to train HuBERT, as the first iterations of the paper's recipes do.
    """

    num_buckets: Annotated[int, Field(ge=4, multiple_of=2)] = 320
    """Number of buckets of distances between two frames: each has one learned bias per head.

    Source: docs/algorithm.md 4.1.
    Change: rarely; it makes the model incompatible with WavLM's weights.
    """

    max_distance: Count = 800
    """All distances of about this many frames and more share the last bucket.

    Unit: frames.
    Source: docs/algorithm.md 4.1 (contradiction C2).
    Change: rarely; it makes the model incompatible with WavLM's weights.
    """

    dropout: Probability = 0.1
    """Dropout of the transformer's input and after every attention and feed-forward block.

    Unit: probability, 0 to 1.
    Source: docs/algorithm.md 1: 0.1 for Base, 0 for Large (contradiction C5).
    Change: 0 when every utterance is seen only a few times, as in the demo.
    """

    attention_dropout: Probability = 0.1
    """Dropout of the attention weights.

    Unit: probability, 0 to 1.
    Source: docs/algorithm.md 1: 0.1 for Base, 0 for Large (contradiction C5).
    Change: together with `dropout`.
    """

    activation_dropout: Probability = 0.0
    """Dropout of the inner vectors of the feed-forward blocks.

    Unit: probability, 0 to 1.
    Source: docs/algorithm.md 1: 0.
    Change: rarely in pre-training.
    """

    input_dropout: Probability = 0.1
    """Dropout of the projected features, before masking.

    Unit: probability, 0 to 1.
    Source: docs/algorithm.md 1: 0.1 for Base, 0 for Large (contradiction C5).
    Change: together with `dropout`.
    """

    layer_drop: Probability = 0.05
    """How often a whole transformer layer is skipped in training.

    Unit: probability, 0 to 1.
    Source: docs/algorithm.md 1: 0.05 for Base, 0 for Large (contradiction C5).
    Change: 0 for shallow networks, as in the demo.
    """

    feature_grad_mult: Probability = 0.1
    """Factor on the gradient that reaches the feature encoder. The forward pass stays the same.

    Source: docs/algorithm.md 1: 0.1 for Base, 1 for Large.
    Change: 1 when the feature encoder has to learn in few updates, as in the demo.
    """

    projection_width: Count = 256
    """Size of the vectors that the head compares with the clusters' embeddings.

    Source: docs/algorithm.md 1: 256 for Base, 768 for Large.
    Change: smaller for small networks (128 in the demo).
    """

    special_symbols: Literal[0, 4] = 0
    """Extra rows of the head before those of the clusters. They are never targets.

    Source: docs/algorithm.md 8: fairseq's dictionary has 4, so that K = 500 gives 504 rows.
    Change: 4 to have the shapes of released HuBERT and WavLM models.
    """

    @model_validator(mode="after")
    def _check_divisible(self) -> NetworkSpec:
        for what, divisor in (
            ("num_heads", self.num_heads),
            ("position_groups", self.position_groups),
        ):
            if self.width % divisor:
                raise FieldError(f"width {self.width} is not divisible by {what} {divisor}", what)
        if self.sample_rate_hz == (expected := rate_of_strides(self.conv_layers)):
            raise FieldError(
                f"{expected} is the sample rate of these strides: leave it out, so that equal networks have equal keys",
                "sample_rate_hz",
            )
        return self
