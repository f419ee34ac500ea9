"""Speech enhancement and separation: SI-SDR and its improvement, PESQ and STOI.

SI-SDR is Le Roux et al. 2019 (SDR - half-baked or well done?), by torchmetrics in float64. The means of the signals are
not removed, as SUPERB's reference does not. Of several sources the best order is taken ("permutation invariant"). PESQ
is the wide-band one (ITU-T P.862.2) by the library pesq, STOI is Taal et al. 2011 by pystoi, not the extended one.

Legend: S sources, N samples. Signals are at 16 kHz.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavlm.evaluation.metrics.checks import Floats, finite, misfit, undefined
from wavlm.evaluation.metrics.libraries import load_scorer
from wavlm.specs import SAMPLE_RATE_HZ

Signal = npt.NDArray[np.floating]

SHORTEST_SAMPLES = SAMPLE_RATE_HZ // 4  # of PESQ


@dataclass(frozen=True)
class Separation:
    """How well the sources of a mixture were separated, in the order of the references."""

    si_sdr_db: tuple[float, ...]  # (S,)
    improvement_db: tuple[float, ...]  # (S,) over the mixture itself
    order: tuple[int, ...]  # (S,) which result belongs to each reference


def si_sdr_db(reference: Signal, found: Signal) -> float:
    """The scale-invariant signal-to-distortion ratio of a signal (N,), in dB.

    Raises BadDataError: METRIC_MISFIT for other lengths, METRIC_UNDEFINED where one of the two is silent.
    """
    import torch

    ours, theirs = _pair("SI-SDR", reference, found)
    ratio = load_scorer("torchmetrics.functional.audio").scale_invariant_signal_distortion_ratio
    return float(ratio(torch.from_numpy(theirs), torch.from_numpy(ours)))


def score_separation(references: Signal, found: Signal, mixture: Signal) -> Separation:
    """The SI-SDR of sources (S, N) in the order that is best on average, and what they gain over the mixture (N,)."""
    import torch

    if references.ndim != 2 or references.shape != found.shape:
        raise misfit(
            f"SI-SDR: references {references.shape} and results {found.shape}",
            "expected the same numbers of sources and samples",
            "cut both to the length of the mixture",
        )
    pairs = [_pair("SI-SDR", ours, theirs) for ours, theirs in zip(references, found, strict=True)]
    ours, theirs = (torch.from_numpy(np.stack(side))[None] for side in zip(*pairs, strict=True))  # (1, S, N)
    audio = load_scorer("torchmetrics.functional.audio")
    _, best = audio.permutation_invariant_training(
        theirs, ours, audio.scale_invariant_signal_distortion_ratio, mode="speaker-wise", eval_func="max"
    )
    order = tuple(int(number) for number in best[0])
    after = [si_sdr_db(references[row], found[number]) for row, number in enumerate(order)]
    before = [si_sdr_db(reference, mixture) for reference in references]
    gains = tuple(late - early for late, early in zip(after, before, strict=True))
    return Separation(tuple(after), gains, order)


def pesq_wb(reference: Signal, found: Signal, rate_hz: int) -> float:
    """The wide-band PESQ of a signal (N,) at 16 kHz: from 1.04 (bad) to 4.64 (the same signal).

    Raises BadDataError: METRIC_MISFIT for another rate, METRIC_UNDEFINED below a quarter of a second or without speech.
    """
    ours, theirs = _pair("PESQ", reference, found, rate_hz)
    if len(ours) < SHORTEST_SAMPLES:
        raise _too_little("PESQ", f"found {len(ours)} samples, expected at least {SHORTEST_SAMPLES}")
    library = load_scorer("pesq")
    try:
        return float(library.pesq(rate_hz, ours, theirs, "wb"))
    except (library.NoUtterancesError, library.BufferTooShortError, ValueError) as error:  # ValueError: a level of NaN
        raise _too_little("PESQ", f"found no speech in {len(ours)} samples: {_text(error)}") from error


def stoi(reference: Signal, found: Signal, rate_hz: int) -> float:
    """The short-time objective intelligibility of a signal (N,) at 16 kHz, at most 1.

    Raises BadDataError: METRIC_MISFIT for another rate, METRIC_UNDEFINED below about 0.4 s of speech.
    """
    ours, theirs = _pair("STOI", reference, found, rate_hz)
    library = load_scorer("pystoi")
    with warnings.catch_warnings():
        # It warns and returns 1e-5, which would be a wrong number in a mean.
        warnings.filterwarnings("error", message="Not enough STFT frames", category=RuntimeWarning)
        try:
            return _in_range("STOI", float(library.stoi(ours, theirs, rate_hz, extended=False)))
        except RuntimeWarning as error:
            raise _too_little("STOI", f"found less than 0.4 s of speech in {len(ours)} samples") from error


def _pair(metric: str, reference: Signal, found: Signal, rate_hz: int = SAMPLE_RATE_HZ) -> tuple[Floats, Floats]:
    """Both signals in float64, where they are fit to be compared."""
    if rate_hz != SAMPLE_RATE_HZ:
        raise misfit(f"{metric}: signals at {rate_hz} Hz", f"expected {SAMPLE_RATE_HZ} Hz", "resample both first")
    if reference.ndim != 1 or reference.shape != found.shape:
        raise misfit(
            f"{metric}: a reference of shape {reference.shape} and a result of {found.shape}",
            "expected two signals of one length",
            "cut both to the shorter one",
        )
    ours, theirs = finite(metric, reference), finite(metric, found)
    for name, signal in (("reference", ours), ("result", theirs)):
        if not signal.any():
            raise _too_little(metric, f"the {name} has {len(signal)} samples, all 0")
    return ours, theirs


def _too_little(metric: str, found: str) -> Exception:
    return undefined(f"{metric}: there is no sound to score", found, "leave the recording out, or check the model")


def _text(error: BaseException) -> str:
    first = error.args[0] if error.args else ""
    return first.decode(errors="replace") if isinstance(first, bytes) else str(first)


def _in_range(metric: str, value: float) -> float:
    return float(finite(metric, [value])[0])
