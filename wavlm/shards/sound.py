"""Is there sound? Silence, a constant, a single click, and channels that cancel each other teach nothing.

A recording, and every piece that is cut from one, is measured in windows of 0.1 s.

Shapes: C channels, T samples, W windows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wavlm.corpus.audio.reason import AudioError, Reason, refuse
from wavlm.shards.flac import FULL_SCALE, Pcm16, Waveform
from wavlm.specs import SAMPLE_RATE_HZ

WINDOWS_PER_SECOND = 10

SILENT_RANGE = 16  # peak to peak in a window, in int16 units; G.722 of digital silence has a range of 7
# Speech must have sound in 10 % of its windows, so that crops of it are not silence, and in 0.3 s, so that a click is
# not enough. Noise and rooms may be a single click: that is what a response of a room is.
LEAST_SHARE = 0.1
LEAST_WINDOWS = 3

# Power of the mean over the mean power of the channels: 1 for equal channels, 1/C for independent ones, below 0.03 for
# two with a correlation below -0.94. Opposite phases after Ogg Vorbis give 0.016: the mean is then noise of the codec.
CANCELLED_POWER = 0.03

Levels = NDArray[np.float32]  # (W, 3): power of the mean, mean power of the channels, largest range of a channel
NO_LEVELS: Levels = np.empty((0, 3), np.float32)


def check_sound(
    pcm: Pcm16, levels: Levels, name: str, sample_rate_hz: int = SAMPLE_RATE_HZ, *, is_speech: bool
) -> None:
    """Raise AudioError (AUDIO_CANCELS, AUDIO_SILENT) for samples (T,) that must not be used.

    `levels`: of the channels whose mean the samples are; (0, 3) if they are no mean.
    """
    needed = _needed(-(-len(pcm) // _window_samples(sample_rate_hz))) if is_speech else 1
    has_loud_channel = np.count_nonzero(levels[:, 2] >= SILENT_RANGE) >= needed
    power, channel_power = (float(column.sum()) for column in levels[:, :2].T)
    if has_loud_channel and power < CANCELLED_POWER * channel_power:
        raise refuse(
            Reason.AUDIO_CANCELS,
            f"the mean has {power / channel_power:.1%} of the power of the channels, expected {CANCELLED_POWER:.0%}",
            name,
        )
    found = int(np.count_nonzero(_ranges(pcm, sample_rate_hz) >= SILENT_RANGE))
    if found < needed:
        raise _silence(len(pcm) / sample_rate_hz, found, needed, name)


def _silence(seconds: float, found: int, needed: int, name: str) -> AudioError:
    return refuse(
        Reason.AUDIO_SILENT,
        f"{found / WINDOWS_PER_SECOND} of {seconds:.1f} s have a range of {SILENT_RANGE} or more in "
        f"int16 units, expected {needed / WINDOWS_PER_SECOND}",
        name,
    )


def _needed(num_windows: int) -> int:
    """Windows of speech that must have sound. Of less than 0.6 s that is a half."""
    return max(1, min(max(LEAST_WINDOWS, round(LEAST_SHARE * num_windows)), num_windows // 2))


def _ranges(pcm: Pcm16, sample_rate_hz: int) -> NDArray[np.int32]:
    """Peak to peak of each window, (W,). The last window may be shorter."""
    window = _window_samples(sample_rate_hz)
    whole = pcm[: len(pcm) // window * window].reshape(-1, window)
    ranges = whole.max(axis=1).astype(np.int32) - whole.min(axis=1)
    rest = pcm[whole.size :]
    return np.append(ranges, np.int32(int(rest.max()) - int(rest.min()))) if len(rest) else ranges


class LevelMeter:
    """Levels of the channels, and of their mean, in windows of 0.1 s at the recording's own rate."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._rest: Waveform = np.empty((0, 0), np.float32)  # (C, T): less than a window
        self._window = 0  # the number of the next window

    def add(self, block: Waveform) -> Levels:
        """The levels (W, 3) of the windows that end in this block (C, T)."""
        rest = np.concatenate([self._rest, block], axis=1) if self._rest.size else block
        start = self._edge(self._window)
        edges = [0]
        while (edge := self._edge(self._window + 1) - start) <= rest.shape[1]:
            edges.append(edge)
            self._window += 1
        self._rest = rest[:, edges[-1] :].copy()
        return _measure(rest[:, : edges[-1]], edges[:-1])

    def finish(self) -> Levels:
        """The levels of the last window, which may be shorter; (0 or 1, 3)."""
        return _measure(self._rest, [0]) if self._rest.size else NO_LEVELS

    def _edge(self, window: int) -> int:
        return window * self._rate_hz // WINDOWS_PER_SECOND


def _measure(block: Waveform, starts: Sequence[int]) -> Levels:
    """The levels (W, 3) of windows of a block (C, T) that start at these samples."""
    if not starts:
        return NO_LEVELS
    steps = block.astype(np.float64) * FULL_SCALE
    highest, lowest = np.maximum.reduceat(steps, starts, axis=1), np.minimum.reduceat(steps, starts, axis=1)  # (C, W)
    power = _variances(steps.mean(axis=0, keepdims=True), starts)[0]
    channel_power = _variances(steps, starts).mean(axis=0)
    return np.stack([power, channel_power, (highest - lowest).max(axis=0)], axis=1).astype(np.float32)


def _variances(steps: NDArray[np.float64], starts: Sequence[int]) -> NDArray[np.float64]:
    """The variance in each window, (C, W)."""
    sizes = np.diff([*starts, steps.shape[1]])
    means = np.add.reduceat(steps, starts, axis=1) / sizes
    return np.maximum(np.add.reduceat(steps**2, starts, axis=1) / sizes - means**2, 0.0)


def levels_between(levels: Levels, start: int, stop: int, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Levels:
    """The levels of the windows in which samples `start` to `stop` lie."""
    window = _window_samples(sample_rate_hz)
    return levels[start // window : -(-stop // window)]


def _window_samples(sample_rate_hz: int) -> int:
    return sample_rate_hz // WINDOWS_PER_SECOND
