"""The stretches of a recording that have sound: pauses and edges of single utterances are no speech.

Legend: N samples, F frames of 20 ms.
"""

from __future__ import annotations

import numpy as np

from wavlm.shards.flac import Waveform

FRAME_SAMPLES = 320
BELOW_LOUDEST_DB = 35.0  # read speech with little noise: consonants are 20 to 30 dB below vowels
LONGEST_GAP_FRAMES = 15  # 0.3 s: shorter pauses belong to a turn


def find_sound(waveform: Waveform) -> list[tuple[int, int]]:
    """First and last sample of each stretch whose frames are less than 35 dB below the loudest one."""
    num_frames = len(waveform) // FRAME_SAMPLES
    frames = waveform[: num_frames * FRAME_SAMPLES].reshape(num_frames, FRAME_SAMPLES).astype(np.float64)
    powers = (frames**2).mean(axis=1)
    if not powers.size or not powers.max() > 0:
        return []
    loud = np.flatnonzero(powers > powers.max() * 10 ** (-BELOW_LOUDEST_DB / 10))
    breaks = np.flatnonzero(np.diff(loud) > LONGEST_GAP_FRAMES + 1)
    firsts, lasts = loud[np.append(0, breaks + 1)], loud[np.append(breaks, len(loud) - 1)]
    return [
        (int(first) * FRAME_SAMPLES, (int(last) + 1) * FRAME_SAMPLES) for first, last in zip(firsts, lasts, strict=True)
    ]
