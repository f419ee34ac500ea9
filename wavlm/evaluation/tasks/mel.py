"""Log mel spectra at the rate of voice conversion, and how far two of them lie apart.

Rate and range are those of SUPERB's reference (s3prl, downstream/a2o-vc-vcc2020: 24 kHz, windows of 1024 samples every
256, 80 bands from 80 to 7,600 Hz, log10 of magnitudes). Bands are triangles on the mel scale of HTK with a peak of 1.
Speech at 16 kHz has all that they see.

Legend: N samples, T frames, M bands.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from wavlm.errors import BadDataError, Code
from wavlm.evaluation.metrics.conversion import LOWEST_POWER_DB, ORDER, warp
from wavlm.shards.flac import Waveform
from wavlm.specs import SAMPLE_RATE_HZ

Floats = npt.NDArray[np.float64]
RATE_HZ = 24_000
WINDOW, HOP = 1024, 256
NUM_BANDS = 80
LOWEST_HZ, HIGHEST_HZ = 80.0, 7600.0
FLOOR = 1e-10  # of a magnitude, before the logarithm


def log_mel(waveform: Waveform) -> Floats:
    """The log10 mel spectrum (T, M) of speech at 16 kHz (N,); frames are centred on multiples of the hop."""
    import soxr

    samples = soxr.resample(waveform.astype(np.float64), SAMPLE_RATE_HZ, RATE_HZ, quality="VHQ")
    padded = np.pad(samples, WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    magnitudes = np.abs(np.fft.rfft(frames * np.hanning(WINDOW + 1)[:-1]))
    found: Floats = np.log10(np.maximum(magnitudes @ _bands(), FLOOR))
    return found


def distortion_db(reference: Floats, found: Floats) -> float:
    """Mel-cepstral distortion of log10 mel spectra (T, M) and (T', M), in dB.

    As `wavlm.evaluation.metrics.conversion` computes it of waveforms, but for the cepstra: here they are the cosine
    transform of the log mel spectrum, of order 39 with the level. So the two are not comparable. Raises BadDataError
    (METRIC_UNDEFINED) for a spectrum without any sound.
    """
    ours, theirs = (_cepstra(_loud(spectra)) for spectra in (reference, found))
    left, right = warp(theirs, ours)
    squares = ((theirs[left] - ours[right]) ** 2).sum(axis=1)
    return float(np.mean(10 / np.log(10) * np.sqrt(2 * squares)))


def _loud(spectra: Floats) -> Floats:
    """The frames above -20 dB of the mean power."""
    powers = (10 ** (2 * spectra)).sum(axis=1)
    if not len(spectra) or spectra.max() <= np.log10(FLOOR) or not np.isfinite(powers).all():
        raise BadDataError(
            Code.METRIC_UNDEFINED,
            f"MCD: {len(spectra)} frames have no sound, or no finite one; expected speech; leave the recording out, or "
            "check the model",
        )
    kept: Floats = spectra[10 * np.log10(powers / powers.mean() + FLOOR**2) > LOWEST_POWER_DB]
    return kept


def _cepstra(spectra: Floats) -> Floats:
    """Cepstra (T, ORDER + 1) of the natural logarithm of magnitudes."""
    places = np.pi * (np.arange(NUM_BANDS) + 0.5)[:, None] * np.arange(ORDER + 1) / NUM_BANDS
    cepstra: Floats = (spectra * np.log(10)) @ np.cos(places) / NUM_BANDS
    return cepstra


@lru_cache(maxsize=1)
def _bands() -> Floats:
    """(WINDOW / 2 + 1, M)"""
    lowest, highest = (2595 * np.log10(1 + hz / 700) for hz in (LOWEST_HZ, HIGHEST_HZ))
    mels = np.linspace(lowest, highest, NUM_BANDS + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    hz = np.arange(WINDOW // 2 + 1)[:, None] * RATE_HZ / WINDOW
    up, down = (hz - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - hz) / np.diff(edges)[1:]
    found: Floats = np.maximum(0, np.minimum(up, down))
    return found
