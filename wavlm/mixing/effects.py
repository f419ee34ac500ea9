"""Augmentation beyond the paper's mixing: rooms, microphones, band limits, codecs, levels and noise.

Every effect keeps the length of the waveform, and its alignment with the labels to within half a frame: filters have
zero phase or little delay, room impulse responses (RIRs) are cut to begin with the direct sound, the codecs have no
delay. All but `room` and `codec` are transforms of audiomentations; decision 25 has what each of its transforms
measures. `minimum` and `maximum` of an EffectSpec are the bounds of a uniform draw:

| effect | bounds | unit |
|---|---|---|
| room | none | an RIR is drawn from the pool; the level is kept |
| equaliser | gain of each of seven bands | dB |
| low_pass, high_pass | cut-off | Hz |
| band_pass | centre, 1 to 1.5 times as wide | Hz |
| codec | none | mu-law, A-law or GSM 6.10, at 8 kHz |
| mp3 | bit rate | kbit/s |
| gain | gain | dB |
| gaussian_snr | signal-to-noise ratio of added white noise | dB |
| clipping | fraction of samples that are clipped, in steps of 2 % | 0 to 1 |

Legend: N samples.
"""

from __future__ import annotations

import io
import random
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from wavlm.errors import ServiceMissingError
from wavlm.rng import rng_for
from wavlm.specs import SAMPLE_RATE_HZ, EffectName, EffectSpec

Waveform = npt.NDArray[np.float32]
DrawRir = Callable[[float], tuple[str, Waveform]]  # key and RIR for a random number in [0, 1)

TELEPHONE_RATE_HZ = 8000
CODECS = ("ULAW", "ALAW", "GSM610")  # names of libsndfile subtypes
DIRECT_SOUND = 0.5  # the direct sound is the first sample of at least half the peak ...
MOST_LAGS_PER_SECOND = 100  # ... that is no more than half a frame, 10 ms, before the peak
MOST_CUT_OFF = 0.49  # of a filter, as a share of the sample rate

_seeding = threading.Lock()  # the global generators belong to all threads of the process


@dataclass(frozen=True)
class Affected:
    """A waveform after effects, and the effects that were applied, in their order."""

    waveform: Waveform  # (N,)
    applied: tuple[EffectName, ...] = ()


def apply_effects(
    waveform: Waveform,
    specs: Sequence[EffectSpec],
    rng: np.random.Generator,
    draw_rir: DrawRir | None = None,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
) -> Affected:
    """The waveform (N,) after the effects that this generator selects, in their order; same length.

    It holds the same array if no effect is selected. Raises ValueError if the effect `room` is selected but there is
    no pool of RIRs.
    """
    applied: list[EffectName] = []
    for spec in specs:
        # Always draw both numbers, so that the probability of one effect does not change the draws of the others.
        chosen, seed = rng.random(), int(rng.integers(2**32))
        if chosen < spec.probability:
            waveform = _apply(waveform, spec, seed, draw_rir, sample_rate_hz)
            applied.append(spec.name)
    return Affected(waveform, tuple(applied))


def packages_of(specs: Sequence[EffectSpec]) -> tuple[str, ...]:
    """The Python packages that these effects import when they are applied."""
    names = {spec.name for spec in specs}
    wanted = {
        "audiomentations": names - {"room", "codec"},
        "fast_mp3_augment": names & {"mp3"},
        "soxr": names & {"codec"},
    }
    return tuple(package for package, effects in wanted.items() if effects)


def require_packages(specs: Sequence[EffectSpec]) -> None:
    """Raise ServiceMissingError if a package that these effects import is not installed."""
    if missing := [name for name in packages_of(specs) if find_spec(name) is None]:
        raise ServiceMissingError(
            "PACKAGE_MISSING",
            f"the effects of the mix import {', '.join(missing)}; in {sys.prefix}; install them: "
            "pip install 'wavlm-pipeline[pipeline]'",
        )


def _apply(waveform: Waveform, spec: EffectSpec, seed: int, draw_rir: DrawRir | None, sample_rate_hz: int) -> Waveform:
    rng = rng_for(seed, spec.name)
    if spec.name == "room":
        if draw_rir is None:
            raise ValueError("the effect 'room' needs a corpus of room impulse responses; found none")
        return reverberate(waveform, draw_rir(rng.random())[1], sample_rate_hz)
    if spec.name == "codec":
        return apply_codec(waveform, CODECS[rng.integers(len(CODECS))], sample_rate_hz)
    with _seed_globals(seed):
        changed: Waveform = _transform(spec, sample_rate_hz)(waveform, sample_rate_hz)
    return changed.astype(np.float32, copy=False)


def reverberate(waveform: Waveform, rir: Waveform, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Waveform:
    """The waveform (N,) convolved with an RIR from its direct sound on, at the waveform's own level.

    An early echo may be louder than the direct sound. If the direct sound comes more than half a frame before it, the
    RIR begins later, so that the loudest arrival stays within half a frame of the labels.
    """
    # audiomentations is not used: ApplyImpulseResponse reads files only, and keeps the silence before the direct sound.
    loudness = np.abs(rir)
    peak = int(np.argmax(loudness))
    earliest = max(0, peak - sample_rate_hz // MOST_LAGS_PER_SECOND + 1)
    direct = earliest + int(np.argmax(loudness[earliest : peak + 1] >= DIRECT_SOUND * loudness[peak]))
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


def apply_codec(waveform: Waveform, codec: str, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Waveform:
    """The waveform (N,) after a telephone codec at 8 kHz; none of them delays the signal."""
    # audiomentations has no telephone codec.
    import soxr

    peak = max(1.0, float(np.abs(waveform).max(initial=0)))
    narrow = soxr.resample(waveform / peak, sample_rate_hz, TELEPHONE_RATE_HZ, "HQ")
    coded = io.BytesIO()
    soundfile.write(coded, narrow, TELEPHONE_RATE_HZ, format="WAV", subtype=codec)
    coded.seek(0)
    decoded, _ = soundfile.read(coded, dtype="float32")
    wide = soxr.resample(decoded, TELEPHONE_RATE_HZ, sample_rate_hz, "HQ")[: len(waveform)]
    output: Waveform = np.pad(wide, (0, len(waveform) - len(wide))) * np.float32(peak)
    return output


def _transform(spec: EffectSpec, sample_rate_hz: int) -> Callable[[Waveform, int], Waveform]:
    """The audiomentations transform of an effect; it always applies."""
    import audiomentations

    low, high = spec.bounds
    if spec.name.endswith("_pass"):
        low, high = (min(bound, MOST_CUT_OFF * sample_rate_hz) for bound in (low, high))
    # A zero-phase filter runs forwards and backwards, so the signal is not delayed against its labels.
    zero_phase = {"min_rolloff": 12, "max_rolloff": 24, "zero_phase": True, "p": 1.0}
    percents = (round(100 * low), round(100 * high))
    builders: dict[str, Callable[[], Any]] = {
        "equaliser": partial(audiomentations.SevenBandParametricEQ, low, high, p=1.0),
        "low_pass": partial(audiomentations.LowPassFilter, low, high, **zero_phase),
        "high_pass": partial(audiomentations.HighPassFilter, low, high, **zero_phase),
        "band_pass": partial(audiomentations.BandPassFilter, low, high, 1.0, 1.5, **zero_phase),
        "mp3": partial(audiomentations.Mp3Compression, low, high, "fast-mp3-augment", p=1.0),
        "gain": partial(audiomentations.Gain, low, high, p=1.0),
        "gaussian_snr": partial(audiomentations.AddGaussianSNR, low, high, p=1.0),
        "clipping": partial(audiomentations.ClippingDistortion, *percents, p=1.0),
    }
    transform: Callable[[Waveform, int], Waveform] = builders[spec.name]()
    return transform


@contextmanager
def _seed_globals(seed: int) -> Iterator[None]:
    """Seed the global generators and restore them afterwards: audiomentations draws only from them."""
    with _seeding:
        python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
