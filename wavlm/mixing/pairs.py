"""The pairs to listen to in a mixtures folder: which there are, and their waveforms.

Legend: N samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wavlm.errors import BadDataError
from wavlm.storage.seals import check_sealed, sealed_files

LISTEN_FOLDER = "listen"
_CLEAN = ".clean.wav"
EFFECT = "effect-"  # begins the names of pairs of one effect alone

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Waveform = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PairFiles:
    """The two files of a pair: an utterance before and after mixing, or before and after one effect."""

    name: str  # key of the mixture, or of the effect
    is_effect: bool
    clean: Path
    mixed: Path

    def read(self) -> tuple[Waveform, Waveform, int]:
        """Both waveforms, (N,), and their sample rate.

        Raises BadDataError: UNREADABLE if a file is none or they do not fit, CHECKSUM.
        """
        import soundfile

        waveforms, rates = [], set[int]()
        for path in (self.clean, self.mixed):
            check_sealed(path)
            try:
                waveform, rate_hz = soundfile.read(path, dtype="float32")
            except (OSError, soundfile.SoundFileError) as error:
                raise _unreadable(str(error), path) from error
            rates.add(int(rate_hz))
            if len(rates) > 1 or waveform.ndim != 1:
                raise _unreadable(f"{rate_hz} Hz, shape {waveform.shape}, expected mono at one rate", path)
            waveforms.append(waveform)
        clean, mixed = waveforms
        if len(clean) != len(mixed):
            raise _unreadable(f"{len(mixed)} samples, {len(clean)} before mixing", self.mixed)
        return clean, mixed, rates.pop()


def find_pairs(mixtures_dir: Path) -> tuple[PairFiles, ...]:
    """The pairs of a mixtures folder: mixtures in their order, then effects by name."""
    folder = mixtures_dir / LISTEN_FOLDER
    sealed = {mixtures_dir / name for name in sealed_files(mixtures_dir)}  # one that is missing is noticed
    clean = {path for path in (*sealed, *folder.glob(f"*{_CLEAN}")) if path.name.endswith(_CLEAN)}
    found = [
        PairFiles(name.removeprefix(EFFECT), name.startswith(EFFECT), path, path.with_name(f"{name}.mixed.wav"))
        for path in sorted(clean)
        for name in [path.name.removesuffix(_CLEAN)]
    ]
    return tuple(sorted(found, key=lambda item: item.is_effect))


def _unreadable(what: str, path: Path) -> BadDataError:
    return BadDataError("UNREADABLE", f"{what}; at {path}; make the mixtures again")
