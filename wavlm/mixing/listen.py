"""Listening pairs: WAV files of utterances before and after mixing, with their spectrograms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from wavlm.mixing.spectrogram import plot_mixture
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.storage.files import atomic_path, write_text

README = """Some of the fixed mixtures, to listen to.

<key>.clean.wav  the crop of the primary utterance, before mixing
<key>.mixed.wav  the same with another utterance or noise added to a part of it
<key>.png        spectrograms of both

16-bit mono at 16 kHz. Where the mixture would have clipped, both files of the pair were turned
down by the same factor (column `gain` of ../mixtures.tsv), so that they stay comparable. What was
added, when and how loud says ../mixtures.tsv; ../mixtures.rttm has who speaks when.
"""


def write_pair(folder: Path, key: str, clean: npt.NDArray[np.float32], mixed: npt.NDArray[np.float32]) -> None:
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
