"""Optional effects on a waveform beyond the paper's mixing: rooms, band limits, codecs, levels.

Every effect keeps the length and the alignment with the labels: filters have zero phase, room
responses begin with the direct sound, the codecs have no delay. `minimum` and `maximum` of an
EffectSpec bound a uniform draw:

| effect | bounds | unit |
|---|---|---|
| room | none | a response is drawn from the room clips; the level is kept |
| low_pass, high_pass | cut-off | Hz |
| band_pass | centre, 1 to 1.5 times as wide | Hz |
| codec | none | mu-law, A-law or GSM 6.10, at 8 kHz |
| gain | gain | dB |
| gaussian_snr | signal-to-noise ratio of added white noise | dB |
| clipping | share of samples that are clipped | 0 to 1 |
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
DrawRir = Callable[[float], tuple[str, Waveform]]  # key and response for a number in [0, 1)

TELEPHONE_RATE_HZ = 8000
CODECS = ("ULAW", "ALAW", "GSM610")  # names of libsndfile subtypes
DIRECT_SOUND = 0.5  # the direct sound is the first sample of at least half the peak


def apply_effects(
    waveform: Waveform,
    specs: Sequence[EffectSpec],
    rng: np.random.Generator,
    draw_rir: DrawRir | None = None,
) -> Waveform:
    """The waveform (N,) after the effects that this generator picks, in their order; same length.

    Raises ValueError if an effect is asked for that needs rooms and there are none.
    """
    for spec in specs:
        # Always both numbers, so that an effect's probability does not change what others draw.
        chosen, seed = rng.random(), int(rng.integers(2**32))
        if chosen < spec.probability:
            waveform = _apply(waveform, spec, seed, draw_rir)
    return waveform


def _apply(waveform: Waveform, spec: EffectSpec, seed: int, draw_rir: DrawRir | None) -> Waveform:
    rng = rng_for(seed, spec.name)
    if spec.name == "room":
        if draw_rir is None:
            raise ValueError("the effect 'room' needs a corpus of room responses; found none")
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
    """The waveform (N,) as heard in a room, aligned to the direct sound, at its own level."""
    loudness = np.abs(rir)
    direct = int(np.argmax(loudness >= DIRECT_SOUND * loudness.max()))
    tail = rir[direct:]
    size = 1 << (len(waveform) + len(tail) - 2).bit_length()  # no wrap-around
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
    """The waveform (N,) with this share of its samples cut to one level."""
    # Our own: audiomentations clips in steps of two percent, each side by its own level.
    level = np.quantile(np.abs(waveform), 1 - share)
    cut: Waveform = np.clip(waveform, -level, level).astype(np.float32)
    return cut


def _transform(name: str, low: float, high: float) -> Callable[[Waveform, int], Waveform]:
    """The audiomentations transform of an effect, which then always applies."""
    import audiomentations

    # A filter without phase runs forwards and backwards: labels stay where they are.
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
    """audiomentations draws from the global generators only: seed them, and put them back after."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
