"""Utterances to sample from that lie in memory: numbers alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wavlm.specs import Group
from wavlm.specs.frames import num_labels


@dataclass(frozen=True, eq=False)
class ListedPool:
    """Utterances given by their speakers and lengths."""

    group: Group
    folder: int
    speakers: np.ndarray
    samples: np.ndarray
    rate_hz: int

    @property
    def num_samples(self) -> int:
        return int(self.samples.sum())

    @property
    def num_frames(self) -> int:
        return int(num_labels(self.samples, self.rate_hz).sum())

    def read_speakers(self) -> np.ndarray:
        return self.speakers.astype(np.int32)

    def read_samples(self, utterances: np.ndarray) -> np.ndarray:
        return self.samples[utterances]

    def find_rows(self, utterances: np.ndarray) -> np.ndarray:
        return utterances
