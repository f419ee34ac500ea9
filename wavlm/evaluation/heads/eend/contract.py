"""What the trainee of diarization asks of an end-to-end diarizer.

Legend: B utterances, S states, F frames of the model, D channels, A activity frames, R speakers of one utterance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from wavlm.evaluation.heads.block import FindsSpeakers


@dataclass(frozen=True)
class Truth:
    """Who speaks in one utterance. Speakers who are silent in it are none of it."""

    activity: Tensor  # (A, R) of 0 and 1
    speakers: tuple[int, ...]  # R numbers among the training speakers


@runtime_checkable
class LearnsSpeakers(FindsSpeakers, Protocol):
    """A head that is trained on the speakers of blocks."""

    @property
    def hop_samples(self) -> int:
        """Samples from one frame of the states to the next."""
        ...

    def loss(self, states: Tensor, num_frames: Tensor, truths: Sequence[Truth], seed: int) -> Tensor:
        """The mean loss () of utterances: states (B, S, F, D), frames (B,). The seed decides what is drawn."""
        ...
