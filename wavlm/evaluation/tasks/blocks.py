"""Diarization by heads that find the speakers of blocks: end-to-end neural diarizers.

Legend: B utterances, S states, F frames of the model, D channels, A activity frames, R speakers of one utterance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from wavlm.evaluation.examples import Example
from wavlm.evaluation.heads.eend.contract import LearnsSpeakers, Truth
from wavlm.evaluation.heads.eend.make import make_eend
from wavlm.evaluation.metrics.diarization import Turn
from wavlm.evaluation.tasks.activity import turns_to_frames
from wavlm.evaluation.tasks.stretches import cut_stretches
from wavlm.evaluation.tasks.task import Batch, Size
from wavlm.evaluation.tasks.turns import TurnScorer, cut_turns, keep_probabilities, turns_of
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.specs.eend import EendHead
from wavlm.specs.pairs import SpeakerDiarization


def named_turns(item: Example, spec: SpeakerDiarization) -> list[Turn]:
    """The turns of a recording, with names that mean one speaker in all recordings."""
    if spec.names == "everywhere":
        return turns_of(item)
    return [(start_s, end_s, f"{item.key}/{name}") for start_s, end_s, name in turns_of(item)]


@dataclass(frozen=True)
class BlockTrainee(TurnScorer):
    """Diarization with the speakers of its training part."""

    head: EendHead
    speakers: tuple[str, ...]

    @property
    def learned(self) -> JsonValue:
        return list(self.speakers)

    @cached_property
    def _number_of(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.speakers)}

    def check(self, size: Size) -> None:
        """Any size will do."""

    def cut(self, example: Example, start: int, stop: int) -> Example:
        """A part of a recording has the turns in it."""
        return cut_turns(example, start, stop)

    def make_head(self, size: Size) -> nn.Module:
        return make_eend(size, self.head, len(self.speakers))

    def loss(self, head: nn.Module, batch: Batch) -> Tensor:
        """The loss of a random stretch of each recording."""
        assert isinstance(head, LearnsSpeakers)  # noqa: S101 - made above
        states, num_frames, starts = cut_stretches(batch.states, batch.num_frames, self.spec.chunk_frames)
        truths = [
            self.find_truth(
                named_turns(item, self.spec),
                first * head.hop_samples,
                count * head.hop_samples,
                head.activity_hop_samples,
            )
            for item, first, count in zip(batch.examples, starts.tolist(), num_frames.tolist(), strict=True)
        ]
        truths = [Truth(it.activity.to(states.device), it.speakers) for it in truths]
        seed = batch.moment.seed if batch.moment else int(torch.randint(2**62, ()))
        return head.loss(states, num_frames, truths, seed)

    def find_truth(self, turns: Sequence[Turn], start: int, num_samples: int, hop_samples: int) -> Truth:
        """Who speaks in so many samples from `start` on. Speakers who are silent there are left out."""
        first_s = start / SAMPLE_RATE_HZ
        moved = [(max(begin - first_s, 0.0), end - first_s, name) for begin, end, name in turns if end > first_s]
        names = sorted({name for *_, name in moved})
        active = turns_to_frames(moved, len(names), -(-num_samples // hop_samples), hop_samples)
        heard = [column for column in range(len(names)) if active[:, column].any()]
        return Truth(
            torch.from_numpy(active[:, heard].astype("float32")), tuple(self._number_of[names[it]] for it in heard)
        )

    def predict(self, head: nn.Module, batch: Batch) -> list[JsonValue]:
        """The probabilities of all speakers that are found in each recording, taken as one block."""
        assert isinstance(head, LearnsSpeakers)  # noqa: S101 - made above
        found = head.find_speakers(batch.states, batch.num_frames)
        return [keep_probabilities(it.activities, head.activity_hop_samples) for it in found]
