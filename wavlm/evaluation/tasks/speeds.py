"""Recordings at other speeds, which are other voices: a tape that runs faster has a higher pitch.

Legend: N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wavlm.evaluation.examples import Audio, Example
from wavlm.shards import Reader
from wavlm.shards.flac import Waveform
from wavlm.specs import SAMPLE_RATE_HZ


@dataclass(frozen=True)
class SpedAudio:
    """An audio that is played faster (above 1) or slower (below 1), with its pitch."""

    whole: Audio
    speed: float
    num_samples: int

    def load(self, readers: Sequence[Reader]) -> Waveform:
        """Resampled from `speed` times the rate, and cut or filled with zeros to exactly `num_samples`."""
        import soxr

        waveform = self.whole.load(readers)
        found = soxr.resample(waveform, SAMPLE_RATE_HZ * self.speed, SAMPLE_RATE_HZ, "HQ")[: self.num_samples]
        return np.pad(found, (0, self.num_samples - len(found))).astype(np.float32)


def at_speeds(examples: Sequence[Example], speeds: Sequence[float]) -> tuple[Example, ...]:
    """The examples, then each of them at each speed as an example of another voice."""
    return (*examples, *(_at_speed(item, speed) for speed in speeds for item in examples))


def is_sped(example: Example) -> bool:
    """Whether an example is at another speed than it was recorded at."""
    return isinstance(example.audio, SpedAudio)


def _at_speed(item: Example, speed: float) -> Example:
    count = round(item.num_samples / speed)
    speaker = f"{item.speaker}@{speed:g}"
    return replace(
        item,
        key=f"{item.key}@{speed:g}",
        speaker=speaker,
        num_samples=count,
        audio=SpedAudio(item.audio, speed, count),
        target={"speaker": speaker},
        content=f"{item.content}@{speed:g}" if item.content else "",
    )
