"""Numbers that are the same wherever they are made: weights and inputs of heads and of their references.

Integer arithmetic alone makes them, so neither a version of numpy nor a processor changes them, and the files with the
references' outputs need not hold any weights.
"""

from __future__ import annotations

import math
import zlib

import numpy as np

LENGTHS = (24, 17)  # frames of the two utterances of a batch
WIDTH = 12  # channels of the frames, where the head is narrow
FULL_WIDTH = 768
NUM_CLASSES = 5
NUM_BANDS = 6  # of mel spectra
NUM_UPDATES = 3
LEARNING_RATE = 1e-3


def uniform(name: str, *shape: int, size: float = 1.0) -> np.ndarray:
    """Numbers from -size to size that depend on nothing but the arguments, in float32."""
    mixed = np.arange(math.prod(shape), dtype=np.uint32) + np.uint32(zlib.crc32(name.encode()))
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):  # each number depends on all bits of its index
        mixed = (mixed ^ (mixed >> np.uint32(shift))) * np.uint32(factor)
    return ((mixed.astype(np.float64) / 2**31 - 1) * size).astype(np.float32).reshape(shape)


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A parameter under its name in the reference. A layer's outputs are about as large as its inputs."""
    fan_in = math.prod(shape[1:])
    return uniform(name, *shape, size=math.sqrt(3 / fan_in) if len(shape) > 1 else 0.1)


def frames(width: int) -> np.ndarray:
    """(B, F, D): what stands in the padding is not zero."""
    return uniform("frames", len(LENGTHS), max(LENGTHS), width)


def activity(num_speakers: int) -> np.ndarray:
    """Who speaks: (B, F, S), 0 or 1."""
    return (uniform("activity", len(LENGTHS), max(LENGTHS), num_speakers) > 0).astype(np.float32)


def spectra(num_sources: int) -> tuple[np.ndarray, np.ndarray]:
    """Complex spectra of mixtures (B, F, K) and of their sources (B, S, F, K). The reference wants zeros in padding."""
    shape = (len(LENGTHS), num_sources, max(LENGTHS), 257)
    sources = uniform("real", *shape) + 1j * uniform("imaginary", *shape)
    for row, length in zip(sources, LENGTHS, strict=True):
        row[:, length:] = 0
    return sources.sum(1).astype(np.complex64), sources.astype(np.complex64)


ECAPA = {"channels": 16, "groups": 4, "squeeze": 6, "pooled": 24, "attention": 5, "embedding": 7}
ECAPA_FULL = {"channels": 512, "groups": 8, "squeeze": 128, "pooled": 1536, "attention": 128, "embedding": 256}


def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A parameter, or a statistic of a batch norm. Variances and scales of norms are around 1."""
    if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
        return 1 + uniform(name, *shape, size=0.5)
    return weight(name, shape)


EEND = {"width": 6, "encoder": 16, "feed_forward": 24, "heads": 2, "layers": 2, "speakers": 3}
NUM_EEND_FRAMES = 30

CSS = {"width": 12, "heads": 2, "feed_forward": 20, "layers": 2, "kernel": 5}
NUM_CSS_FRAMES = 40
