"""Voice conversion: mel-cepstral distortion (MCD) between a converted utterance and the target speaker's own.

As SUPERB's reference computes it: a low-cut filter at 70 Hz, spectral envelopes by WORLD (harvest and cheaptrick, every
5 ms), mel-cepstra of order 39, frames above -20 dB of the mean power, aligned by dynamic time warping (DTW); then the
mean over the path of (10 / ln 10) sqrt(2 sum of squared differences). The zeroth coefficient, the level, is part of the
sum there and here; many papers leave it out. DTW is exact here. The reference approximates it (fastdtw, radius 1).

Legend: N samples, F frames, M cepstral coefficients.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from wavlm.evaluation.metrics.checks import Floats, finite, misfit, undefined
from wavlm.evaluation.metrics.libraries import load_world

ORDER = 39
ALPHAS = {
    16_000: 0.42,
    24_000: 0.466,
}  # of the frequency warping, nearest to the mel scale at each rate; SUPERB: 24 kHz
FRAME_MS = 5.0
FFT_SIZE = 1024
LOW_CUT_HZ, LOW_CUT_TAPS = 70, 255
LOWEST_POWER_DB = -20.0  # of a frame, relative to the mean over the utterance


def mcd_db(
    reference: npt.NDArray[np.floating], found: npt.NDArray[np.floating], rate_hz: int, f0_range_hz: tuple[float, float]
) -> float:
    """The distortion of one utterance, in dB; both signals (N,) are in [-1, 1] and may differ in length.

    `f0_range_hz`: the lowest and the highest pitch of the target speaker. Raises BadDataError: METRIC_MISFIT for a rate
    without a known warping, METRIC_UNDEFINED for silence.
    """
    ours, theirs = (mel_cepstra(signal, rate_hz, f0_range_hz) for signal in (reference, found))
    left, right = warp(theirs, ours)
    squares = ((theirs[left] - ours[right]) ** 2).sum(axis=1)
    return float(np.mean(10 / np.log(10) * np.sqrt(2 * squares)))


def mel_cepstra(signal: npt.NDArray[np.floating], rate_hz: int, f0_range_hz: tuple[float, float]) -> Floats:
    """The mel-cepstra (F, M) of the frames of a signal (N,) that have sound."""
    from scipy.signal import firwin, lfilter

    if rate_hz not in ALPHAS:
        raise misfit(f"MCD: signals at {rate_hz} Hz", f"expected one of {sorted(ALPHAS)}", "resample both first")
    waveform = finite("MCD", signal) * np.iinfo(np.int16).max
    if not waveform.any():
        raise undefined("MCD: there is no sound to score", f"found {len(waveform)} samples, all 0", "check the model")
    waveform = lfilter(firwin(LOW_CUT_TAPS, LOW_CUT_HZ, pass_zero=False, fs=rate_hz), 1, waveform)
    world = load_world()
    lowest_hz, highest_hz = f0_range_hz
    pitch, times = world.harvest(waveform, rate_hz, f0_floor=lowest_hz, f0_ceil=highest_hz, frame_period=FRAME_MS)
    envelopes = world.cheaptrick(waveform, pitch, times, rate_hz, fft_size=FFT_SIZE)  # (F, FFT_SIZE / 2 + 1)
    powers = envelopes[:, [0, -1]].sum(axis=1) + 2 * envelopes[:, 1:-1].sum(axis=1)
    loud = 10 * np.log10(powers / powers.mean()) > LOWEST_POWER_DB
    return envelopes_to_cepstra(envelopes[loud], ALPHAS[rate_hz])


def envelopes_to_cepstra(envelopes: Floats, alpha: float) -> Floats:
    """Mel-cepstra (F, ORDER + 1) of power spectra (F, FFT_SIZE / 2 + 1)."""
    cepstra = np.fft.irfft(np.log(envelopes))[:, : envelopes.shape[1]]
    cepstra[:, 0] /= 2  # of the amplitude: the others stand twice in a power cepstrum, before and behind the middle
    warped: Floats = cepstra @ _warping(envelopes.shape[1], alpha)
    return warped


@lru_cache(maxsize=8)
def _warping(num_coefficients: int, alpha: float) -> Floats:
    """The matrix (num_coefficients, ORDER + 1) of the bilinear frequency warping of cepstra.

    By the recursion of Oppenheim and Johnson 1972 (Discrete representation of signals), for all unit vectors at once.
    """
    warped = np.zeros((ORDER + 1, num_coefficients))
    for number in reversed(range(num_coefficients)):
        before = warped.copy()
        warped[0] = alpha * before[0]
        warped[0, number] += 1.0
        warped[1] = (1 - alpha**2) * before[0] + alpha * before[1]
        for row in range(2, ORDER + 1):
            warped[row] = before[row - 1] + alpha * (before[row] - warped[row - 1])
    return warped.T


def warp(left: Floats, right: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The cheapest path through two sequences (F, M) and (G, M), by Euclidean distance: the rows of each on it.

    Steps go on by one in either sequence or in both, and none costs more than another.
    """
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * left @ right.T
    costs = np.sqrt(np.maximum(squares, 0))
    total = np.full((len(left) + 1, len(right) + 1), np.inf)
    total[0, 0] = 0.0
    for diagonal in range(2, len(left) + len(right) + 1):  # all cells of one diagonal depend on the two before it
        rows = np.arange(max(1, diagonal - len(right)), min(len(left), diagonal - 1) + 1)
        columns = diagonal - rows
        before = np.minimum(
            total[rows - 1, columns - 1], np.minimum(total[rows - 1, columns], total[rows, columns - 1])
        )
        total[rows, columns] = costs[rows - 1, columns - 1] + before
    return _trace(total)


def _trace(total: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    row, column = total.shape[0] - 1, total.shape[1] - 1
    path = [(row, column)]
    while (row, column) != (1, 1):
        steps = ((row - 1, column - 1), (row - 1, column), (row, column - 1))
        row, column = min(steps, key=lambda place: total[place])
        path.append((row, column))
    rows, columns = np.array(path[::-1], np.int64).T - 1
    return rows, columns
