"""Mixing for the fixed set: every utterance gets a part of another one, or of a noise recording, that can be heard.

Training draws regions of any length, from no sample on, and of any part of the secondary, also of a pause. In a
small fixed set such draws would count utterances as mixed that are not. So they are drawn again.

Legend: B utterances, N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavlm.errors import BadDataError
from wavlm.mixing.audio_pool import AudioPool
from wavlm.mixing.mix import Event, Mixed, mix_waveforms
from wavlm.shards.flac import FULL_SCALE
from wavlm.specs import SAMPLE_RATE_HZ, MixSpec

Waveform = npt.NDArray[np.float32]

BLOCKS_PER_SECOND = 10  # what has to be heard: a tenth of a second
PAUSE = 0.1  # a block whose amplitude is below this fraction of the whole secondary's is a pause
MOST_DRAWS = 100  # a mixture is drawn again where noise is silent for most of the time


@dataclass(frozen=True)
class HeardMix:
    """One utterance with something mixed in."""

    event: Event
    waveform: Waveform  # (N,) float32
    loudest_samples: int  # centre of the loudest block of what was added


@dataclass(frozen=True)
class HeardMixer:
    """Mixes the utterances of a micro-batch."""

    mix: MixSpec
    seed: int
    noise: AudioPool | None
    sample_rate_hz: int = SAMPLE_RATE_HZ

    def __call__(self, waveforms: Waveform, keys: Sequence[str], numbers: Sequence[int]) -> list[HeardMix]:
        """Mix each row of `waveforms` (B, N). Rows of odd number get noise, if there is any, the others another row.

        Raises BadDataError, with the keys, if nothing can be heard in a row after MOST_DRAWS draws.
        """
        found: dict[int, HeardMix] = {}
        for draw in range(MOST_DRAWS):
            missing = [row for row in range(len(keys)) if row not in found]
            if not missing:
                break
            speech = self._mix_all(waveforms, keys, draw, 0.0)
            noise = self._mix_all(waveforms, keys, draw, 1.0) if self.noise else speech
            for row in missing:
                mixed = noise if numbers[row] % 2 else speech
                if heard := self._find_heard(waveforms[row], mixed, row):
                    found[row] = heard
        if silent := [key for row, key in enumerate(keys) if row not in found]:
            raise BadDataError(
                "MIXTURE_UNHEARD",
                f"what is mixed into {len(silent)} of {len(keys)} utterances cannot be heard, after {MOST_DRAWS} "
                f"draws each; at {', '.join(silent)}; look for silent recordings among them and the noise, for a "
                "max_length_fraction near 0, or choose another seed of the mixtures",
            )
        return [found[row] for row in range(len(keys))]

    def _mix_all(self, waveforms: Waveform, keys: Sequence[str], draw: int, noise: float) -> Mixed:
        """Mix something into every row. A draw is named as an epoch of training is."""
        spec = self.mix.model_copy(update={"probability": 1.0, "noise_probability": noise})
        return mix_waveforms(waveforms, keys, draw, self.seed, spec, self.noise)

    def _find_heard(self, clean: Waveform, mixed: Mixed, row: int) -> HeardMix | None:
        """The mixture of a row if what was added can be heard."""
        event = mixed.events[row]
        longest = int(self.mix.max_length_fraction * len(clean))
        if event.num_samples < max(1, min(self.sample_rate_hz // BLOCKS_PER_SECOND, longest // 2)):
            return None
        region = slice(event.start_samples, event.start_samples + event.num_samples)
        before, after = clean[region], mixed.waveforms[row][region]
        begin, end, amplitude = _find_loudest_block(after - before, self.sample_rate_hz)
        expected = float(np.sqrt(np.mean(np.square(clean, dtype=np.float64)))) / 10 ** (event.ratio_db / 20)
        changed = np.rint(after[begin:end] * FULL_SCALE) != np.rint(before[begin:end] * FULL_SCALE)
        if amplitude < PAUSE * expected or not changed.any():
            return None
        return HeardMix(event, mixed.waveforms[row], event.start_samples + (begin + end) // 2)


def _find_loudest_block(added: Waveform, sample_rate_hz: int) -> tuple[int, int, float]:
    """Begin, end and root mean square of the loudest block of a signal (N,), or of all of a shorter one."""
    length = min(sample_rate_hz // BLOCKS_PER_SECOND, len(added))
    sums = np.concatenate([[0.0], np.cumsum(np.square(added, dtype=np.float64))])
    energies = sums[length:] - sums[:-length]
    begin = int(np.argmax(energies))
    return begin, begin + length, float(np.sqrt(max(0.0, energies[begin]) / length))
