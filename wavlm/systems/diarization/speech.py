"""Where somebody speaks: what systems that cluster windows begin with.

| name | how |
|---|---|
| `webrtc` | WebRTC's detector of voices, as pauses for cuts are found (`wavlm.shards.pauses`) |
| `energy` | frames that are loud between the quietest and the loudest of the recording |
| `oracle` | the turns of the reference: for comparison with papers that assume it |

Legend: N samples, F frames of 10 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from wavlm.evaluation.metrics.diarization import Region, Turn
from wavlm.evaluation.tasks.activity import spoken
from wavlm.shards.pauses import BLOCK_FRAMES, FRAME_SAMPLES, listen
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.systems.recording import RecordedSamples

Detector = Literal["webrtc", "energy", "oracle"]
Bools = npt.NDArray[np.bool_]

QUIET, LOUD = 10, 95  # percentiles of the levels of frames: noise, and speech
SHARE = 0.4  # of the way from noise to speech, in dB, above which somebody speaks
LEAST_RANGE_DB = 6.0  # in less, all frames are alike: nobody speaks, or everybody does
SILENCE_DB = -60.0  # of full scale: a recording below it has no speech
JOINED_FRAMES, LEAST_FRAMES = 30, 20  # shorter pauses are no pauses, shorter speech is none


def find_speech(detector: Detector, samples: RecordedSamples, turns: Sequence[Turn] = ()) -> list[Region]:
    """The stretches with speech, in seconds, in order. `turns`: of the reference, for `oracle`."""
    if detector == "oracle":
        return spoken(turns)
    if detector == "webrtc":
        is_speech = ~listen(samples.read, 0, samples.num_samples).is_pause if samples.num_samples else np.zeros(0, bool)
    else:
        is_speech = _loud(_levels_db(samples))
    return _regions(is_speech)


def _levels_db(samples: RecordedSamples) -> npt.NDArray[np.float64]:
    """The level of each frame in dB of full scale, (F,), a minute at a time."""
    num_frames = samples.num_samples // FRAME_SAMPLES
    found = [np.zeros(0)]
    for first in range(0, num_frames, BLOCK_FRAMES):
        last = min(first + BLOCK_FRAMES, num_frames)
        pcm = samples.read(first * FRAME_SAMPLES, last * FRAME_SAMPLES).astype(np.float64) / 2**15
        found.append(10 * np.log10((pcm.reshape(-1, FRAME_SAMPLES) ** 2).mean(axis=1) + 1e-12))
    return np.concatenate(found)


def _loud(levels_db: npt.NDArray[np.float64]) -> Bools:
    if not levels_db.size:
        return np.zeros(0, dtype=np.bool_)
    quiet, loud = np.percentile(levels_db, (QUIET, LOUD))
    if loud - quiet < LEAST_RANGE_DB:
        return np.full(len(levels_db), bool(loud > SILENCE_DB))
    found: Bools = levels_db > max(quiet + SHARE * (loud - quiet), SILENCE_DB)
    return found


def _regions(is_speech: Bools) -> list[Region]:
    changes = np.flatnonzero(np.diff(is_speech.astype(np.int8), prepend=0, append=0))
    joined: list[list[int]] = []
    for first, last in zip(changes[::2].tolist(), changes[1::2].tolist(), strict=True):
        if joined and first - joined[-1][1] < JOINED_FRAMES:
            joined[-1][1] = last
        else:
            joined.append([first, last])
    seconds = FRAME_SAMPLES / SAMPLE_RATE_HZ
    return [(first * seconds, last * seconds) for first, last in joined if last - first >= LEAST_FRAMES]
