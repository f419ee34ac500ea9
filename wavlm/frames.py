"""How many frames the convolutions make of a waveform; the only place where this is computed."""

from __future__ import annotations

from collections.abc import Sequence

from wavlm.specs import HOP_SAMPLES, ConvLayer, paper_conv_layers

PAPER_CONV_LAYERS = paper_conv_layers()


def num_frames(num_samples: int, conv_layers: Sequence[ConvLayer] = PAPER_CONV_LAYERS) -> int:
    """Frames of a waveform of `num_samples`; 0 if it is shorter than the receptive field.

    For the paper's stack this is floor((N - 400) / 320) + 1 (docs/algorithm.md section 2).
    """
    for layer in conv_layers:
        num_samples = (num_samples - layer.kernel) // layer.stride + 1
    return max(num_samples, 0)


def receptive_field(conv_layers: Sequence[ConvLayer] = PAPER_CONV_LAYERS) -> int:
    """Samples that one frame sees: the shortest waveform that gives a frame."""
    num_samples = 1
    for layer in reversed(conv_layers):
        num_samples = (num_samples - 1) * layer.stride + layer.kernel
    return num_samples


def samples_of(frames: int) -> int:
    """Samples of the shortest waveform that gives this many frames of the paper's stack."""
    return receptive_field() + (frames - 1) * HOP_SAMPLES
