"""Speaker diarization: who speaks in which frame, from a head that has one output per speaker.

Targets and predictions: `wavlm.evaluation.tasks.turns`.

Legend: B utterances, S states, F frames, D channels, K outputs of the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor, nn

from wavlm.errors import BadDataError, Code
from wavlm.evaluation.examples import Example
from wavlm.evaluation.heads.diarizer import Diarizer, diarization_loss
from wavlm.evaluation.heads.weighted_sum import WeightedSum
from wavlm.evaluation.labelled import LabelledCorpus, Row
from wavlm.evaluation.tasks.activity import turns_to_frames
from wavlm.evaluation.tasks.blocks import BlockTrainee, named_turns
from wavlm.evaluation.tasks.conversations import Source, make_conversations
from wavlm.evaluation.tasks.stretches import cut_stretches
from wavlm.evaluation.tasks.task import Batch, Size
from wavlm.evaluation.tasks.turns import TurnScorer, cut_turns, keep_probabilities, turns_of
from wavlm.shards import Reader
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.specs.eend import EendHead
from wavlm.specs.heads import DiarizerHead
from wavlm.specs.pairs import SpeakerDiarization

SLACK_SECONDS = 0.5  # by which a turn may end behind its recording: labels are rounded


@dataclass(frozen=True)
class Diarization:
    """Turns per recording."""

    spec: SpeakerDiarization
    head: DiarizerHead | EendHead

    @property
    def is_pooled(self) -> bool:
        return False

    def collect(self, corpora: Sequence[LabelledCorpus], noise: Sequence[LabelledCorpus] = ()) -> list[Example]:  # noqa: ARG002
        examples, sources = list[Example](), list[Source]()
        for corpus in corpora:
            parts = {key for row in corpus.rows for key in _sources_of(row)}
            for row in corpus.rows:
                if "turns" in row.target:
                    examples.append(_example(row, corpus.name))
                elif self.spec.conversations is not None and row.speaker:
                    sources.append(Source(f"{corpus.name}/{row.speaker}", row.take, row.num_samples))
                elif row.key not in parts:
                    raise _without_turns(row, corpus.name, makes=self.spec.conversations is not None)
        if self.spec.conversations is not None:
            readers = [Reader(corpus.shards_dir) for corpus in corpora]
            examples += make_conversations(self.spec.conversations, sources, readers)
        return examples

    def class_of(self, example: Example) -> str:  # noqa: ARG002
        return ""

    def for_training(self, example: Example) -> Example | None:
        return example

    def begin(self, train: Sequence[Example], others: Sequence[Example]) -> TurnTrainee | BlockTrainee:  # noqa: ARG002
        if not isinstance(self.head, DiarizerHead):
            voices = {name for item in train for *_, name in named_turns(item, self.spec)}
            return BlockTrainee(self.spec, self.head, tuple(sorted(voices)))
        for item in train:
            names = sorted({name for *_, name in turns_of(item)})
            if len(names) > self.spec.speakers:
                raise BadDataError(
                    Code.TARGET_BAD,
                    f"{item.key} has {len(names)} speakers ({', '.join(names)}), the head has {self.spec.speakers}; "
                    "in the evaluation's train part; raise speakers of the task, or train on others",
                )
        return TurnTrainee(self.spec, self.head)

    def recall(self, learned: JsonValue) -> TurnTrainee | BlockTrainee:
        if isinstance(self.head, DiarizerHead):
            return TurnTrainee(self.spec, self.head)  # this head knows no speaker
        assert isinstance(learned, list)  # noqa: S101 - its own
        return BlockTrainee(self.spec, self.head, tuple(map(str, learned)))


class FrameHead(nn.Module):
    """The weighted sum and the diarizer, which knows how many samples a frame is."""

    def __init__(self, size: Size, spec: DiarizerHead, num_speakers: int) -> None:
        super().__init__()
        self.hop_samples = size.hop_samples
        self.sum = WeightedSum(size.num_states)
        self.diarizer = Diarizer(size.num_channels, num_speakers, hidden=spec.hidden)


@dataclass(frozen=True)
class TurnTrainee(TurnScorer):
    """Diarization, ready to be fitted."""

    head: DiarizerHead

    @property
    def learned(self) -> JsonValue:
        return None

    def check(self, size: Size) -> None:
        """Any size will do."""

    def cut(self, example: Example, start: int, stop: int) -> Example:
        """A part of a recording has the turns in it."""
        return cut_turns(example, start, stop)

    def make_head(self, size: Size) -> nn.Module:
        return FrameHead(size, self.head, self.spec.speakers)

    def loss(self, head: nn.Module, batch: Batch) -> Tensor:
        """Cross entropy in the best order of speakers, on a random stretch of each recording."""
        assert isinstance(head, FrameHead)  # noqa: S101 - made above
        states, num_frames, starts = cut_stretches(batch.states, batch.num_frames, self.spec.chunk_frames)
        active = torch.zeros(len(states), states.shape[2], self.spec.speakers, device=states.device)
        for row, item, first, count in zip(active, batch.examples, starts.tolist(), num_frames.tolist(), strict=True):
            whole = turns_to_frames(turns_of(item), self.spec.speakers, first + count, head.hop_samples)
            row[:count] = torch.from_numpy(whole[first:])
        return diarization_loss(head.diarizer(head.sum(states), num_frames), active, num_frames)

    def predict(self, head: nn.Module, batch: Batch) -> list[JsonValue]:
        """The probabilities of each recording. The last frame counts to the end of the samples, as in the reference."""
        assert isinstance(head, FrameHead)  # noqa: S101 - made above
        logits = head.diarizer(head.sum(batch.states), batch.num_frames)  # (B, F, K)
        probabilities = torch.sigmoid(logits).cpu().numpy()
        found: list[JsonValue] = []
        for item, row, count in zip(batch.examples, probabilities, batch.num_frames.tolist(), strict=True):
            wanted = max(count, item.num_samples // head.hop_samples)
            kept = row[np.minimum(np.arange(wanted), count - 1)]
            found.append(keep_probabilities(kept, head.hop_samples))
        return found


def _example(row: Row, corpus: str) -> Example:
    """Raises BadDataError (TARGET_BAD) for turns that are not within the recording."""
    seconds = row.num_samples / SAMPLE_RATE_HZ
    turns: Any = row.target["turns"]
    for start_s, end_s, name in turns:
        if start_s >= seconds or end_s > seconds + SLACK_SECONDS:
            raise BadDataError(
                Code.TARGET_BAD,
                f"a turn of {name} is from {start_s} to {end_s} s, the recording {row.key} has {seconds:.3f} s; in the "
                f"corpus {corpus}; correct its turns",
            )
    target = {name: row.target[name] for name in ("turns", "scored") if name in row.target}
    return Example(f"{corpus}/{row.key}", "", row.part, row.num_samples, row.take, target, row.content)


def _without_turns(row: Row, corpus: str, *, makes: bool) -> BadDataError:
    return BadDataError(
        Code.TARGET_MISSING,
        f"the recording {row.key} has no turns"
        + (" and no known speaker, so no conversation can be made of it" if makes else "")
        + f"; in the corpus {corpus}; give the corpus a layout that has turns, or conversations to the task",
    )


def _sources_of(row: Row) -> Sequence[str]:
    found = row.target.get("sources")
    return [str(key) for key in found] if isinstance(found, list) else ()
