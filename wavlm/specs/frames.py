"""Where the frames of a network lie in its audio: how many samples each one sees, and how many lie between two."""

from __future__ import annotations

from collections.abc import Sequence
from math import isclose, prod
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from wavlm.specs.base import FRAME_RATE_HZ, SAMPLE_RATE_HZ, SampleRate
from wavlm.specs.network import ConvLayer, NetworkSpec, rate_of_strides

Integers = npt.NDArray[np.int64]
Samples = Annotated[int, Field(ge=1)]

RATE_TOLERANCE = 1e-5  # of rates that were written with few digits; of two per frame and one the ratio is 2
WINDOWS_PER_SECOND = 40  # of standard frames if they stood beside each other: each sees 25 ms


class FrameGrid(BaseModel):
    """The places of frames: frame t sees samples hop t to hop t + window - 1. Without arguments those of 16 kHz.

    It follows from the convolutions of a network and the rate of its waveforms. What has no network has `standard`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sample_rate_hz: Samples = SAMPLE_RATE_HZ
    window_samples: Samples = SAMPLE_RATE_HZ // WINDOWS_PER_SECOND
    hop_samples: Samples = SAMPLE_RATE_HZ // FRAME_RATE_HZ

    @classmethod
    def standard(cls, sample_rate_hz: int) -> FrameGrid:
        """Frames of 25 ms every 20 ms, in whole samples: at 44.1 kHz of 1102 samples."""
        window, hop = sample_rate_hz // WINDOWS_PER_SECOND, sample_rate_hz // FRAME_RATE_HZ
        return cls(sample_rate_hz=sample_rate_hz, window_samples=window, hop_samples=hop)

    @classmethod
    def of(cls, network: NetworkSpec) -> FrameGrid:
        """The frames that a network makes."""
        layers = network.conv_layers
        hop = prod(layer.stride for layer in layers)
        return cls(sample_rate_hz=sample_rate_of(network), window_samples=receptive_field(layers), hop_samples=hop)

    @property
    def is_standard(self) -> bool:
        """Whether this is the grid of all that names none."""
        return self == FrameGrid.standard(self.sample_rate_hz)

    @property
    def rate_hz(self) -> int | float:
        """Frames per second: 50, or 137.8125 for strides of 320 at 44.1 kHz."""
        whole, rest = divmod(self.sample_rate_hz, self.hop_samples)
        return self.sample_rate_hz / self.hop_samples if rest else whole

    def count(self, num_samples: npt.ArrayLike) -> Integers:
        """Frames of waveforms, the same shape as `num_samples`: one per whole window, without padding."""
        return num_labels(num_samples, self.rate_hz, self)

    def samples_of(self, frames: int) -> int:
        """Length in samples of the shortest waveform that gives this many frames."""
        return self.window_samples + (frames - 1) * self.hop_samples

    def centres_seconds(self, frames: int) -> npt.NDArray[np.float64]:
        """The time of the middle of each of the first frames, (F,)."""
        centres = np.arange(frames) * self.hop_samples + self.window_samples // 2
        return np.asarray(centres / self.sample_rate_hz, np.float64)

    def __str__(self) -> str:
        return (
            f"frames of {self.window_samples} samples every {self.hop_samples} at {self.sample_rate_hz} Hz "
            f"({self.rate_hz} per second)"
        )


PAPER_FRAMES = FrameGrid()


def other_grid(network: NetworkSpec) -> FrameGrid | None:
    """The frames of a network that are not 25 ms every 20 ms; None for all others, so that no key has them."""
    grid = FrameGrid.of(network)
    return None if grid.is_standard else grid


def receptive_field(conv_layers: Sequence[ConvLayer]) -> int:
    """Samples that one frame depends on: the length of the shortest waveform that gives a frame."""
    num_samples = 1
    for layer in reversed(conv_layers):
        num_samples = (num_samples - 1) * layer.stride + layer.kernel
    return num_samples


def sample_rate_of(network: NetworkSpec) -> int:
    """The rate of the waveforms that a network is for: what it says, else 50 times the product of its strides."""
    return network.sample_rate_hz or rate_of_strides(network.conv_layers)


def unless_of_strides(sample_rate_hz: int | None, conv_layers: tuple[ConvLayer, ...]) -> SampleRate | None:
    """What a network with these convolutions says of a rate that others stated: nothing where its strides say it.

    Raises ValueError for a rate that no shards have.
    """
    if sample_rate_hz is None or sample_rate_hz == rate_of_strides(conv_layers):
        return None
    return TypeAdapter(SampleRate).validate_python(sample_rate_hz)


def labels_per_frame(rate_hz: float, grid: FrameGrid) -> int:
    """How many labels there are for each frame: 1, or 2 if its hop can be halved. Raises ValueError for others.

    A rate with few digits is taken for the nearest one: nobody writes 53.333333333333336.
    """
    numbers = range(1, mfcc_per_frame(grid) + 1)
    for number in numbers:
        if isclose(number * grid.rate_hz, rate_hz, rel_tol=RATE_TOLERANCE):
            return number
    rates = " or ".join(str(number * grid.rate_hz) for number in numbers)
    raise ValueError(f"{rate_hz} labels per second, expected {rates}: {grid}")


def mfcc_per_frame(grid: FrameGrid) -> int:
    """MFCC for each frame of the network: 2, or 1 if its hop is odd."""
    return 1 if grid.hop_samples % 2 else 2


def num_labels(num_samples: npt.ArrayLike, rate_hz: float, grid: FrameGrid = PAPER_FRAMES) -> Integers:
    """Labels of waveforms at the rate of frames or at twice that rate, the same shape as `num_samples`.

    There is one label per whole window, without padding. At the rate of frames this equals `num_frames`.
    """
    hop = grid.hop_samples // labels_per_frame(rate_hz, grid)
    lengths = np.asarray(num_samples, np.int64)
    return np.asarray(np.maximum(0, (lengths - grid.window_samples) // hop + 1))
