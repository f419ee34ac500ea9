"""Augmentation beyond the paper's mixing: reverberation, band limits, codecs, levels and noise.

Every effect keeps the length of the waveform and its alignment with the labels: filters have zero phase, room impulse
responses (RIRs) are cut to begin with the direct sound, the codecs have no delay. `minimum` and `maximum` of an
EffectSpec are the bounds of a uniform draw:

| effect | bounds | unit |
|---|---|---|
| room | none | an RIR is drawn from the pool; the level is kept |
| low_pass, high_pass | cut-off | Hz |
| band_pass | centre, 1 to 1.5 times as wide | Hz |
| codec | none | mu-law, A-law or GSM 6.10, at 8 kHz |
| gain | gain | dB |
| gaussian_snr | signal-to-noise ratio of added white noise | dB |
| clipping | fraction of samples that are clipped | 0 to 1 |

Legend: N samples.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from wavlm.rng import rng_for
from wavlm.specs import SAMPLE_RATE_HZ, EffectSpec

Waveform = npt.NDArray[np.float32]
DrawRir = Callable[[float], tuple[str, Waveform]]  # key and RIR for a random number in [0, 1)

TELEPHONE_RATE_HZ = 8000
CODECS = ("ULAW", "ALAW", "GSM610")  # names of libsndfile subtypes
DIRECT_SOUND = 0.5  # the direct sound is the first sample of at least half the peak


def apply_effects(
    waveform: Waveform,
    specs: Sequence[EffectSpec],
    rng: np.random.Generator,
    draw_rir: DrawRir | None = None,
) -> Waveform:
    """The waveform (N,) after the effects that this generator selects, in their order; same length.

    The same array is returned if no effect is selected. Raises ValueError if the effect `room` is selected but there
    is no pool of RIRs.
    """
    for spec in specs:
        # Always draw both numbers, so that the probability of one effect does not change the draws of the others.
        chosen, seed = rng.random(), int(rng.integers(2**32))
        if chosen < spec.probability:
            waveform = _apply(waveform, spec, seed, draw_rir)
    return waveform


def _apply(waveform: Waveform, spec: EffectSpec, seed: int, draw_rir: DrawRir | None) -> Waveform:
    rng = rng_for(seed, spec.name)
    if spec.name == "room":
        if draw_rir is None:
            raise ValueError("the effect 'room' needs a corpus of room impulse responses; found none")
        return reverberate(waveform, draw_rir(rng.random())[1])
    if spec.name == "codec":
        return apply_codec(waveform, CODECS[rng.integers(len(CODECS))])
    low, high = spec.bounds
    if spec.name == "clipping":
        return clip_share(waveform, rng.uniform(low, high))
    with _seed_globals(seed):
        changed: Waveform = _transform(spec.name, low, high)(waveform, SAMPLE_RATE_HZ)
    return changed.astype(np.float32, copy=False)


def reverberate(waveform: Waveform, rir: Waveform) -> Waveform:
    """The waveform (N,) convolved with an RIR from its direct sound on, at the waveform's own level."""
    loudness = np.abs(rir)
    direct = int(np.argmax(loudness >= DIRECT_SOUND * loudness.max()))
    tail = rir[direct:]
    size = 1 << (len(waveform) + len(tail) - 2).bit_length()  # long enough that the convolution does not wrap around
    spectrum = np.fft.rfft(waveform, size) * np.fft.rfft(tail, size)
    output = np.fft.irfft(spectrum, size)[: len(waveform)]
    energy = np.mean(np.square(output))
    if energy == 0:
        return waveform
    level = np.sqrt(np.mean(np.square(waveform, dtype=np.float64)) / energy)
    levelled: Waveform = (output * level).astype(np.float32)
    return levelled


def apply_codec(waveform: Waveform, codec: str) -> Waveform:
    """The waveform (N,) after a telephone codec at 8 kHz; none of them delays the signal."""
    import soxr

    peak = max(1.0, float(np.abs(waveform).max(initial=0)))
    narrow = soxr.resample(waveform / peak, SAMPLE_RATE_HZ, TELEPHONE_RATE_HZ, "HQ")
    coded = io.BytesIO()
    soundfile.write(coded, narrow, TELEPHONE_RATE_HZ, format="WAV", subtype=codec)
    coded.seek(0)
    decoded, _ = soundfile.read(coded, dtype="float32")
    wide = soxr.resample(decoded, TELEPHONE_RATE_HZ, SAMPLE_RATE_HZ, "HQ")[: len(waveform)]
    output: Waveform = np.pad(wide, (0, len(waveform) - len(wide))) * np.float32(peak)
    return output


def clip_share(waveform: Waveform, share: float) -> Waveform:
    """The waveform (N,) with this fraction of its samples limited to one level."""
    # audiomentations is not used: it clips in steps of 2 %, and uses another level for each sign.
    level = np.quantile(np.abs(waveform), 1 - share)
    clipped: Waveform = np.clip(waveform, -level, level).astype(np.float32)
    return clipped


def _transform(name: str, low: float, high: float) -> Callable[[Waveform, int], Waveform]:
    """The audiomentations transform of an effect; it always applies."""
    import audiomentations

    # A zero-phase filter runs forwards and backwards, so the signal is not delayed against its labels.
    zero_phase = {"min_rolloff": 12, "max_rolloff": 24, "zero_phase": True, "p": 1.0}
    builders: dict[str, Callable[[], Any]] = {
        "low_pass": partial(audiomentations.LowPassFilter, low, high, **zero_phase),
        "high_pass": partial(audiomentations.HighPassFilter, low, high, **zero_phase),
        "band_pass": partial(audiomentations.BandPassFilter, low, high, 1.0, 1.5, **zero_phase),
        "gain": partial(audiomentations.Gain, low, high, p=1.0),
        "gaussian_snr": partial(audiomentations.AddGaussianSNR, low, high, p=1.0),
    }
    transform: Callable[[Waveform, int], Waveform] = builders[name]()
    return transform


@contextmanager
def _seed_globals(seed: int) -> Iterator[None]:
    """Seed the global generators and restore them afterwards: audiomentations draws only from them."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
