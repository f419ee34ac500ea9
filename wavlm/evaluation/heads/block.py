"""What an end-to-end diarizer finds in one block of a recording: the contract between such a head and stitching.

Legend: B blocks, S states of a model, F frames of the model, D channels, A activity frames, K speakers, E width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from torch import Tensor

Numbers = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class BlockOutput:
    """The speakers of a block, in any order. K may differ from block to block, and be 0.

    Embeddings of one speaker lie near each other, by Euclidean distance, whatever the block. None: the head has none.
    """

    activities: Numbers  # (A, K): the probability that each speaker speaks in each frame
    embeddings: Numbers | None = None  # (K, E)


@runtime_checkable
class FindsSpeakers(Protocol):
    """A head that diarizes blocks."""

    @property
    def activity_hop_samples(self) -> int:
        """Samples at 16 kHz from one activity frame to the next; frame n begins at sample n * activity_hop_samples."""
        ...

    def find_speakers(self, states: Tensor, num_frames: Tensor) -> list[BlockOutput]:
        """The speakers of each block: states (B, S, F, D), num_frames (B,).

        It draws no random numbers, and does not fail for more speakers than training had.
        """
        ...
