"""Listening pairs: WAV files of utterances before and after mixing, or before and after one effect.

Legend: N samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from wavlm.mixing.spectrogram import plot_mixture
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.storage.files import atomic_path, write_text

Waveform = npt.NDArray[np.float32]

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
class Pair:
    """The WAV files before and after, and the picture of both."""

    name: str  # the key of the utterance, or effect-<name>
    clean: Path
    mixed: Path
    spectrogram: Path

    @property
    def sounds(self) -> dict[str, Path]:
        return {"clean": self.clean, "mixed": self.mixed}


def find_pairs(folder: Path) -> tuple[Pair, ...]:
    """All pairs of a folder that `write_pair` filled, mixtures before effects, by name."""
    names = [path.name.removesuffix(".clean.wav") for path in folder.glob("*.clean.wav")]
    paths = {name: [folder / f"{name}{end}" for end in (".clean.wav", ".mixed.wav", ".png")] for name in names}
    return tuple(
        Pair(name, *paths[name]) for name in sorted(names, key=lambda name: (name.startswith("effect-"), name))
    )


def write_pair(folder: Path, key: str, clean: Waveform, mixed: Waveform, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
    """Write a pair of waveforms (N,) as WAV files, and their spectrograms as PNG."""
    folder.mkdir(exist_ok=True)
    paths = []
    for name, waveform in (("clean", clean), ("mixed", mixed)):
        path = folder / f"{key}.{name}.wav"
        with atomic_path(path) as temporary:
            soundfile.write(temporary, waveform, sample_rate_hz, subtype="PCM_16", format="WAV")
        paths.append(path)
    plot_mixture(paths[0], paths[1], folder / f"{key}.png")


def write_readme(folder: Path) -> None:
    """Describe the files of the folder in README.txt."""
    folder.mkdir(exist_ok=True)
    write_text(folder / "README.txt", README)
