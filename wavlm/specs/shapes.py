"""Sizes without torch: frames and labels of a waveform, parameters and operations (FLOPs) of a network."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import get_args

import numpy as np
import numpy.typing as npt

from wavlm.specs import (
    HOP_SAMPLES,
    SAMPLE_RATE_HZ,
    ConvLayer,
    NetworkSpec,
    QuantizerSpec,
    SampleRate,
    paper_conv_layers,
)

Integers = npt.NDArray[np.int64]

PAPER_CONV_LAYERS = paper_conv_layers()
FRAME_RATE_HZ = SAMPLE_RATE_HZ // HOP_SAMPLES  # 50: a frame of the network every 20 ms
BACKWARD_FACTOR = 3.0  # a forward pass, and a backward pass of twice its operations


def num_frames(num_samples: int, conv_layers: Sequence[ConvLayer] = PAPER_CONV_LAYERS) -> int:
    """Frames of a waveform of `num_samples`; 0 if it is shorter than the receptive field.

    For the paper's convolutions and N samples this is floor((N - 400) / 320) + 1 (docs/algorithm.md section 2).
    """
    for layer in conv_layers:
        num_samples = (num_samples - layer.kernel) // layer.stride + 1
    return max(num_samples, 0)


def receptive_field(conv_layers: Sequence[ConvLayer] = PAPER_CONV_LAYERS) -> int:
    """Samples that one frame depends on: the length of the shortest waveform that gives a frame."""
    num_samples = 1
    for layer in reversed(conv_layers):
        num_samples = (num_samples - 1) * layer.stride + layer.kernel
    return num_samples


def window_samples(sample_rate_hz: int = SAMPLE_RATE_HZ) -> int:
    """Samples of a frame of the network and of a frame of MFCC: 25 ms, 400 at 16 kHz."""
    return sample_rate_hz // 40


def hop_samples(sample_rate_hz: int = SAMPLE_RATE_HZ) -> int:
    """Samples from one frame of the network to the next: 20 ms, 320 at 16 kHz."""
    return sample_rate_hz // FRAME_RATE_HZ


def sample_rate_of(conv_layers: Sequence[ConvLayer]) -> int:
    """The rate of the waveforms that these convolutions are for: 50 frames per second times the product of strides.

    The rate of released models, 16 kHz, for strides that no shards fit.
    """
    found = FRAME_RATE_HZ * prod(layer.stride for layer in conv_layers)
    return found if found in get_args(SampleRate) else SAMPLE_RATE_HZ


def samples_of(frames: int, sample_rate_hz: int = SAMPLE_RATE_HZ) -> int:
    """Length in samples of the shortest waveform that gives this many frames."""
    return window_samples(sample_rate_hz) + (frames - 1) * hop_samples(sample_rate_hz)


def find_frames_mismatch(conv_layers: Sequence[ConvLayer], sample_rate_hz: int = SAMPLE_RATE_HZ) -> str | None:
    """How the frames of these convolutions differ from those of labels, 25 ms every 20 ms; None if they do not."""
    for frames in (1, 2, 100):
        for length in (samples_of(frames, sample_rate_hz) - 1, samples_of(frames, sample_rate_hz)):
            expected = int(num_labels(length, FRAME_RATE_HZ, sample_rate_hz))
            if (found := num_frames(length, conv_layers)) != expected:
                return f"the network makes {found} frames of {length} samples, the labels are for {expected}"
    return None


WINDOW_SAMPLES = window_samples()  # at 16 kHz


def num_labels(num_samples: npt.ArrayLike, rate_hz: int, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Integers:
    """Labels of waveforms at 50 or 100 Hz, the same shape as `num_samples`.

    There is one label per whole window of 25 ms, without padding. At 50 Hz this equals `num_frames`.
    """
    hop = sample_rate_hz // rate_hz
    lengths = np.asarray(num_samples, np.int64)
    return np.asarray(np.maximum(0, (lengths - window_samples(sample_rate_hz)) // hop + 1))


def forward_flops(network: NetworkSpec, seconds: float, num_layers: int | None = None) -> float:
    """Floating-point operations of a forward pass per second of audio, for utterances of `seconds`.

    Counted are the convolutions, the projection, the positional convolution and the layers. A layer takes
    8 d^2 (query, key, value and output projections), 4 d f (feed-forward) and 4 T d (attention scores and
    values) per frame, for width d, feed-forward width f and T frames. `num_layers`: the first layers only.
    """
    rate, channels_in, flops = float(FRAME_RATE_HZ * prod(layer.stride for layer in network.conv_layers)), 1, 0.0
    for layer in network.conv_layers:
        rate /= layer.stride
        flops += 2 * layer.channels * layer.kernel * channels_in * rate
        channels_in = layer.channels
    width, frames = network.width, seconds * FRAME_RATE_HZ
    flops += 2 * channels_in * width * FRAME_RATE_HZ
    per_group = width / network.position_groups
    flops += 2 * width * per_group * network.position_kernel * FRAME_RATE_HZ
    per_frame = 8 * width**2 + 4 * width * network.ffn_width + 4 * frames * width
    layers = network.num_layers if num_layers is None else num_layers
    return flops + layers * per_frame * FRAME_RATE_HZ


def num_parameters(
    network: NetworkSpec, num_clusters: int, num_streams: int = 1, quantizer: QuantizerSpec | None = None
) -> int:
    """Number of trainable parameters, with the pre-training heads: one per stream of labels, or with a quantiser."""
    width, ffn, heads = network.width, network.ffn_width, network.num_heads
    channels_in, total = 1, 0
    for number, layer in enumerate(network.conv_layers):
        total += layer.channels * layer.kernel * channels_in + network.conv_bias * layer.channels
        total += 2 * layer.channels * (network.extractor_norm == "layer" or number == 0)
        channels_in = layer.channels
    total += 2 * channels_in + channels_in * width + width + width  # norm, projection, mask vector
    total += width * (width // network.position_groups) * network.position_kernel
    total += network.position_kernel + width + 2 * width  # weight-norm gains, bias, encoder norm
    per_layer = 4 * (width**2 + width) + 2 * width * ffn + ffn + width + 4 * width
    if network.gated_bias:
        per_layer += 8 * (width // heads) + 8 + heads
        total += network.num_buckets * heads
    head = (width + 1) * network.projection_width
    if quantizer is None:
        head += (num_clusters + network.special_symbols) * network.projection_width
    else:
        choices = quantizer.codebooks * quantizer.entries
        head += (quantizer.width + 1) * network.projection_width + (channels_in + 1) * choices
        head += quantizer.entries * quantizer.width
    return total + network.num_layers * per_layer + num_streams * head
