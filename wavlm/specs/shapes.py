"""Sizes without torch: frames of a waveform, parameters and operations (FLOPs) of a network."""

from __future__ import annotations

from collections.abc import Sequence

from wavlm.specs import ConvLayer, NetworkSpec, QuantizerSpec, paper_conv_layers
from wavlm.specs.frames import FrameGrid, sample_rate_of

PAPER_CONV_LAYERS = paper_conv_layers()
BACKWARD_FACTOR = 3.0  # a forward pass, and a backward pass of twice its operations


def num_frames(num_samples: int, conv_layers: Sequence[ConvLayer] = PAPER_CONV_LAYERS) -> int:
    """Frames of a waveform of `num_samples`; 0 if it is shorter than the receptive field.

    For the paper's convolutions and N samples this is floor((N - 400) / 320) + 1 (docs/algorithm.md section 2).
    """
    for layer in conv_layers:
        num_samples = (num_samples - layer.kernel) // layer.stride + 1
    return max(num_samples, 0)


def forward_flops(network: NetworkSpec, seconds: float, num_layers: int | None = None) -> float:
    """Floating-point operations of a forward pass per second of audio, for utterances of `seconds`.

    Counted are the convolutions, the projection, the positional convolution and the layers. A layer takes
    8 d^2 (query, key, value and output projections), 4 d f (feed-forward) and 4 T d (attention scores and
    values) per frame, for width d, feed-forward width f and T frames. `num_layers`: the first layers only.
    """
    frame_rate_hz = FrameGrid.of(network).rate_hz
    rate, channels_in, flops = float(sample_rate_of(network)), 1, 0.0
    for layer in network.conv_layers:
        rate /= layer.stride
        flops += 2 * layer.channels * layer.kernel * channels_in * rate
        channels_in = layer.channels
    width, frames = network.width, seconds * frame_rate_hz
    flops += 2 * channels_in * width * frame_rate_hz
    per_group = width / network.position_groups
    flops += 2 * width * per_group * network.position_kernel * frame_rate_hz
    per_frame = 8 * width**2 + 4 * width * network.ffn_width + 4 * frames * width
    layers = network.num_layers if num_layers is None else num_layers
    return flops + layers * per_frame * frame_rate_hz


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
