"""Listen for pauses: where in a recording nobody speaks, and how good a place for a cut each moment is.

WebRTC's detector of voices says for each frame of 10 ms whether somebody speaks. In noise it knows more than the
energy does; in silence the energy finds the middle of a pause. So both count. Sums are of integers, levels are rounded
to 0.1 dB, and the detector is fixed-point code: equal samples give equal cuts on every machine. How often cuts meet
speech at which noise stands in docs/decisions/0042-regions-and-pauses.md.

Shapes: T samples, F frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wavlm.shards.flac import Pcm16
from wavlm.specs import SAMPLE_RATE_HZ

FRAME_SAMPLES = SAMPLE_RATE_HZ // 100
DETECTOR_RATES_HZ = (8000, 16000, 32000, 48000)  # that the detector takes; it looks at 0 to 4 kHz alone
AGGRESSIVENESS = 2  # of 0 to 3: how readily the detector takes a frame for no speech
PAUSE_FRAMES = 20  # without a voice: shorter ones are stops of plosives
VOICE_FRAMES, LOUDNESS_FRAMES = 60, 40  # that count around a moment, the near ones more
VOICE_WEIGHT = 600  # what a voice all around counts, in steps of 0.1 dB
BLOCK_FRAMES = 6000  # a minute at a time, so that memory does not depend on the length

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Frames:
    """The frames of a recording, from its first sample on. A rest of less than a frame is left out."""

    is_pause: NDArray[np.bool_]  # (F,): nobody speaks from 0.1 s before to 0.1 s behind the middle of the frame
    badness: Integers  # (F,): how bad a cut is in the middle of the frame, in steps of 0.1 dB
    frame_samples: int = FRAME_SAMPLES


def listen(read: Callable[[int, int], Pcm16], start: int, samples: int, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Frames:
    """Listen to `samples` samples from `start` on; `read(start, stop)` gives them, (T,)."""
    import webrtcvad  # imported here because reading shards does not need it

    detector = webrtcvad.Vad(AGGRESSIVENESS)
    voices: list[Integers] = []
    energies: list[Integers] = []
    last = np.zeros(1, np.int16)
    size = sample_rate_hz // 100
    stop = start + samples // size * size
    for at in range(start, stop, BLOCK_FRAMES * size):
        pcm = read(at, min(at + BLOCK_FRAMES * size, stop))
        frames, rate_hz = _at_detector_rate(pcm.reshape(-1, size), sample_rate_hz)
        voices.append(np.array([detector.is_speech(frame.tobytes(), rate_hz) for frame in frames], np.int64))
        # Differences of neighbours: rumble and hum below speech hardly count.
        before = (last if at > start else pcm[:1]).astype(np.int64)
        steps = pcm.astype(np.int64) - np.concatenate([before, pcm[:-1].astype(np.int64)])
        energies.append((steps.reshape(-1, size) ** 2).sum(axis=1))
        last = pcm[-1:]
    return replace(_judge(np.concatenate(voices), np.concatenate(energies)), frame_samples=size)


def _at_detector_rate(frames: Pcm16, sample_rate_hz: int) -> tuple[Pcm16, int]:
    """Frames of 10 ms, (F, S), at a rate that the detector takes, and that rate. It looks at 0 to 4 kHz alone.

    At 24 kHz every sample stands twice: what that adds lies above 12 kHz. At 44.1 kHz each frame is drawn by straight
    lines at 48 kHz, in integers; behind its last sample the line goes on level.
    """
    if sample_rate_hz in DETECTOR_RATES_HZ:
        return frames, sample_rate_hz
    if 2 * sample_rate_hz in DETECTOR_RATES_HZ:
        return np.repeat(frames, 2, axis=1), 2 * sample_rate_hz
    size, wanted = frames.shape[1], DETECTOR_RATES_HZ[-1] // 100
    before, rest = np.divmod(np.arange(wanted) * size, wanted)
    after = np.minimum(before + 1, size - 1)
    values = frames.astype(np.int64)
    drawn = (values[:, before] * (wanted - rest) + values[:, after] * rest + wanted // 2) // wanted
    return drawn.astype(np.int16), DETECTOR_RATES_HZ[-1]


def _judge(voices: Integers, energies: Integers) -> Frames:
    """Frames from voices (F,), 0 or 1, and energies (F,) of differences, summed over a frame."""
    half = PAUSE_FRAMES // 2
    sums = np.cumsum(np.pad(voices, (half + 1, half - 1), constant_values=1))
    is_pause = sums[PAUSE_FRAMES:] == sums[:-PAUSE_FRAMES]
    voice, whole = _smooth(voices, VOICE_FRAMES)
    energy, _ = _smooth(energies, LOUDNESS_FRAMES)
    loudness = np.rint(100 * np.log10(energy + 1.0)).astype(np.int64)
    badness = (VOICE_WEIGHT * voice + whole // 2) // whole + loudness
    return Frames(is_pause, badness.astype(np.int64))


def _smooth(values: Integers, num_frames: int) -> tuple[Integers, int]:
    """Sums of the values around each, weighted by a triangle (exact), and the sum of the weights."""
    rise = np.arange(1, num_frames // 2 + 1)
    weights = np.concatenate([rise, rise[::-1]])
    padded = np.pad(values, (num_frames // 2, num_frames // 2 - 1), mode="edge")
    return np.convolve(padded, weights, mode="valid").astype(np.int64), int(weights.sum())
