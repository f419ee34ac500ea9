"""Pool of whole recordings that are drawn at random: noise to mix in, or room impulse responses (RIRs)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from wavlm.errors import BadDataError
from wavlm.shards import Reader

Waveform = npt.NDArray[np.float32]
Split = Literal["train", "valid"]


class AudioPool:
    """The recordings of one split of some shards folders; of a folder without that split, all its recordings.

    Raises BadDataError if there is no recording at all.
    """

    def __init__(self, shards_dirs: Sequence[Path], split: Split) -> None:
        self._readers = [Reader(folder) for folder in shards_dirs]
        rows = []
        for reader in self._readers:
            chosen = reader.index.rows_of(split)
            rows.append(chosen if len(chosen) else np.arange(len(reader.index)))
        self._folder = np.repeat(np.arange(len(rows)), [len(chosen) for chosen in rows])
        if not len(self._folder):
            where = ", ".join(map(str, shards_dirs)) or "no folder"
            raise BadDataError("CLIPS_EMPTY", f"found no recording to draw from; in {where}; list another corpus")
        self._row = np.concatenate(rows)

    def __len__(self) -> int:
        return len(self._row)

    def draw(self, number: float) -> tuple[str, Waveform]:
        """Key and whole waveform (N,) of the recording that a uniform number in [0, 1) selects."""
        entry = int(number * len(self))
        reader, row = self._readers[self._folder[entry]], int(self._row[entry])
        return str(reader.index.keys[row]), reader.read(row)
