"""Listening pairs: WAV files of utterances before and after mixing, or before and after one effect.

Legend: N samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from wavlm.mixing.effects import DrawRir, apply_effects
from wavlm.mixing.spectrogram import plot_mixture
from wavlm.rng import rng_for
from wavlm.specs import SAMPLE_RATE_HZ, EffectName, EffectSpec
from wavlm.storage.files import atomic_path, write_text

Waveform = npt.NDArray[np.float32]

STRONGEST_AT_MINIMUM = ("low_pass", "mp3", "gaussian_snr")
STRONGEST_AT_MAXIMUM = ("high_pass", "clipping")
LOUDEST = 32767 / 32768  # the largest amplitude of an int16 sample
README = """Some of the fixed mixtures, to listen to, and each effect of the mix alone.

<key>.clean.wav            the crop of the primary utterance, before mixing
<key>.mixed.wav            the same with another utterance or noise added to a part of it, and after
                           the effects of column `effects` of ../mixtures.tsv
effect-<name>.clean.wav    an utterance before the effect <name>
effect-<name>.mixed.wav    the same utterance after this effect alone, as strong as the mix allows it
<...>.png                  spectrograms of both

16-bit mono at 16 kHz. Where the second file of a pair would have clipped, both were turned down by
the same factor (column `gain` of ../mixtures.tsv), so that they stay comparable. What was added,
when and how loud says ../mixtures.tsv; ../mixtures.rttm has who speaks when.
"""


@dataclass(frozen=True)
class EffectPair:
    """An utterance before and after one effect, at a level at which neither clips; both (N,)."""

    name: EffectName
    clean: Waveform
    affected: Waveform


def effect_pairs(
    waveform: Waveform, effects: Sequence[EffectSpec], seed: int, draw_rir: DrawRir | None
) -> Iterator[EffectPair]:
    """The waveform (N,) before and after each effect at its strongest; of one that is listed twice, its first entry.

    Raises ValueError as apply_effects does.
    """
    first_of = {spec.name: spec for spec in reversed(effects)}
    for name in dict.fromkeys(spec.name for spec in effects):
        strongest = _find_strongest(first_of[name])
        affected = apply_effects(waveform, (strongest,), rng_for(seed, "listen", name), draw_rir).waveform
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


def write_pair(folder: Path, key: str, clean: Waveform, mixed: Waveform) -> None:
    """Write a pair of waveforms (N,) as WAV files, and their spectrograms as PNG."""
    folder.mkdir(exist_ok=True)
    paths = []
    for name, waveform in (("clean", clean), ("mixed", mixed)):
        path = folder / f"{key}.{name}.wav"
        with atomic_path(path) as temporary:
            soundfile.write(temporary, waveform, SAMPLE_RATE_HZ, subtype="PCM_16", format="WAV")
        paths.append(path)
    plot_mixture(paths[0], paths[1], folder / f"{key}.png")


def write_readme(folder: Path) -> None:
    """Describe the files of the folder in README.txt."""
    folder.mkdir(exist_ok=True)
    write_text(folder / "README.txt", README)
