"""Tiny networks and trainings for tests, and the paper's networks; a test names only what it is about.

Batches, jobs and shards that go with them: `tests/train/fakes.py`, `tests/staircases.py`.
"""

from __future__ import annotations

from pathlib import Path

from wavlm.specs import NetworkSpec, TrainSpec, paper_conv_layers
from wavlm.specs.yaml import read_network


def tiny_network(**changes: object) -> NetworkSpec:
    """Post-norm and group norm; the paper's kernels and strides, eight channels, width 16."""
    fields = {
        "extractor_norm": "group",
        "norm_first": False,
        "normalize_waveform": False,
        "conv_layers": paper_conv_layers(channels=8),
        "width": 16,
        "ffn_width": 32,
        "num_layers": 2,
        "num_heads": 2,
        "position_kernel": 16,
        "position_groups": 4,
        "projection_width": 8,
    }
    return NetworkSpec.model_validate(fields | changes)


def tiny_large_network(**changes: object) -> NetworkSpec:
    """The same in the style of Large: pre-norm, layer norm, normalised waveforms."""
    style = {"extractor_norm": "layer", "norm_first": True, "normalize_waveform": True}
    return tiny_network(**(style | changes))


def tiny_training(**changes: object) -> TrainSpec:
    """Ten updates of 24 s in micro-batches of 6 s."""
    fields = {
        "updates": 10,
        "warmup_updates": 1,
        "peak_lr": 1e-3,
        "batch_seconds": 24.0,
        "group_seconds": 6.0,
    }
    return TrainSpec.model_validate(fields | changes)


def paper_network(name: str) -> NetworkSpec:
    """A shipped preset with fairseq's four dictionary rows, as the paper's recipes have it: base or large."""
    path = Path(__file__).parents[1] / "data_specs" / "networks" / f"{name}.yaml"
    return read_network(path).model_copy(update={"special_symbols": 4})
