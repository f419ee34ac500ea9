"""Pairs to listen to: an utterance before and after each effect of a mix.

Legend: N samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavlm.mixing.effects import DrawRir, apply_effects
from wavlm.rng import rng_for
from wavlm.specs import SAMPLE_RATE_HZ, EffectName, EffectSpec

Waveform = npt.NDArray[np.float32]

STRONGEST_AT_MINIMUM = ("low_pass", "mp3", "gaussian_snr")
STRONGEST_AT_MAXIMUM = ("high_pass", "clipping")
LOUDEST = 32767 / 32768  # the largest amplitude of an int16 sample


@dataclass(frozen=True)
class EffectPair:
    """An utterance before and after one effect, at a level at which neither clips; both (N,)."""

    name: EffectName
    clean: Waveform
    affected: Waveform


def effect_pairs(
    waveform: Waveform,
    effects: Sequence[EffectSpec],
    seed: int,
    draw_rir: DrawRir | None,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
) -> Iterator[EffectPair]:
    """The waveform (N,) before and after each effect at its strongest; of one that is listed twice, its first entry.

    Raises ValueError as apply_effects does.
    """
    first_of = {spec.name: spec for spec in reversed(effects)}
    for name in dict.fromkeys(spec.name for spec in effects):
        strongest = _find_strongest(first_of[name])
        rng = rng_for(seed, "listen", name)
        affected = apply_effects(waveform, (strongest,), rng, draw_rir, sample_rate_hz).waveform
        gain = headroom(waveform, affected)
        yield EffectPair(name, gain * waveform, gain * affected)


def _find_strongest(spec: EffectSpec) -> EffectSpec:
    """The effect with probability 1 and the bound that changes a waveform most: a mild effect is hard to hear."""
    low, high = spec.bounds
    always = spec.model_copy(update={"probability": 1.0})
    if spec.name in STRONGEST_AT_MINIMUM:
        return always.model_copy(update={"minimum": low, "maximum": low})
    if spec.name in STRONGEST_AT_MAXIMUM:
        return always.model_copy(update={"minimum": high, "maximum": high})
    if spec.name == "gain":
        most = max(low, high, key=abs)
        return always.model_copy(update={"minimum": most, "maximum": most})
    return always


def headroom(*waveforms: Waveform) -> np.float32:
    """The factor, at most 1, with which none of the waveforms (N,) clips."""
    peak = max(float(np.abs(waveform).max(initial=0)) for waveform in waveforms)
    return np.float32(min(1.0, LOUDEST / peak) if peak else 1.0)
