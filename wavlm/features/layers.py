"""Which layers of a network can be features. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from wavlm.errors import UsageError
from wavlm.specs import NetworkSpec
from wavlm.specs.frames import FrameGrid, sample_rate_of

Output = Literal["residual", "normed"]


def check_layers(network: NetworkSpec, layers: Sequence[int], output: Output, where: Path | str) -> None:
    """Raise UsageError (LAYER_MISSING) unless the network has these layers, counted from 1, and this output of them."""
    if bad := [layer for layer in layers if not 1 <= layer <= network.num_layers]:
        raise UsageError(
            "LAYER_MISSING",
            f"layer {bad[0]} is not in 1..{network.num_layers}; at {where}; choose one of its layers",
        )
    if output == "normed" and not network.norm_first:
        raise UsageError(
            "LAYER_MISSING",
            f"output is normed, but this network has no final norm: each of its layers ends with a norm; at {where}; "
            "leave `output` out",
        )


def check_rate(network: NetworkSpec, sample_rate_hz: int, where: Path | str) -> None:
    """Raise UsageError (SAMPLE_RATE) for a model that is for waveforms of another rate."""
    if (found := sample_rate_of(network)) != sample_rate_hz:
        raise UsageError(
            "SAMPLE_RATE",
            f"the model is for waveforms of {found} Hz, expected {sample_rate_hz} Hz, that of the audio; at {where}; "
            "take a model and shards of one rate",
        )


def check_grid(found: FrameGrid, expected: FrameGrid, where: Path | str) -> None:
    """Raise UsageError (SAMPLE_RATE) for a model that has other frames than the network or the task beside it."""
    if found != expected:
        raise UsageError(
            "SAMPLE_RATE",
            f"the model makes {found}, expected {expected}; at {where}; take a model whose convolutions see and skip "
            "as many samples, at the same sample rate",
        )
