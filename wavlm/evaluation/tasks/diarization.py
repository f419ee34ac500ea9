"""Speaker diarization: who speaks in which frame, from a head that has one output per speaker.

A target is {"turns": [[start_s, end_s, speaker], ...]}, and {"scored": [[start_s, end_s], ...]} if not all is scored.
A prediction holds the probabilities of all frames, and, on the test part, the threshold and the median filter that were
best on the dev part, and the turns that they give.

Legend: B utterances, S states, F frames, D channels, K outputs of the head.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import JsonValue
from torch import Tensor, nn

from wavlm.errors import BadDataError, Code
from wavlm.evaluation.examples import Example
from wavlm.evaluation.heads.diarizer import Diarizer, diarization_loss
from wavlm.evaluation.heads.weighted_sum import WeightedSum
from wavlm.evaluation.labelled import LabelledCorpus, Row
from wavlm.evaluation.metrics.diarization import Region, Turn
from wavlm.evaluation.results.facts import Figure
from wavlm.evaluation.tasks.activity import Bools, frame_errors, frames_to_turns, smooth, turns_to_frames
from wavlm.evaluation.tasks.conversations import Source, make_conversations
from wavlm.evaluation.tasks.stretches import cut_stretches
from wavlm.evaluation.tasks.task import Batch, Size
from wavlm.evaluation.tasks.turn_errors import Judged, score_turns
from wavlm.shards import Reader
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.specs.heads import DiarizerHead
from wavlm.specs.pairs import SpeakerDiarization

STEPS = 10_000  # probabilities are kept in steps of 1 / 10,000
SLACK_SECONDS = 0.5  # by which a turn may end behind its recording: labels are rounded


@dataclass(frozen=True)
class Diarization:
    """Turns per recording."""

    spec: SpeakerDiarization
    head: DiarizerHead

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

    def begin(self, train: Sequence[Example], others: Sequence[Example]) -> TurnTrainee:  # noqa: ARG002
        for item in train:
            names = sorted({name for *_, name in _turns(item)})
            if len(names) > self.spec.speakers:
                raise BadDataError(
                    Code.TARGET_BAD,
                    f"{item.key} has {len(names)} speakers ({', '.join(names)}), the head has {self.spec.speakers}; "
                    "in the evaluation's train part; raise speakers of the task, or train on others",
                )
        return TurnTrainee(self.spec, self.head)

    def recall(self, learned: JsonValue) -> TurnTrainee:  # noqa: ARG002 - the head knows no speaker
        return TurnTrainee(self.spec, self.head)


class FrameHead(nn.Module):
    """The weighted sum and the diarizer, which knows how many samples a frame is."""

    def __init__(self, size: Size, spec: DiarizerHead, num_speakers: int) -> None:
        super().__init__()
        self.hop_samples = size.hop_samples
        self.sum = WeightedSum(size.num_states)
        self.diarizer = Diarizer(size.num_channels, num_speakers, hidden=spec.hidden)


@dataclass(frozen=True)
class TurnTrainee:
    """Diarization, ready to be fitted."""

    spec: SpeakerDiarization
    head: DiarizerHead

    @property
    def learned(self) -> JsonValue:
        return None

    def check(self, size: Size) -> None:
        """Any size will do."""

    def check_parts(self, dev: Sequence[Example], test: Sequence[Example]) -> None:
        """Raise BadDataError (METRIC_UNDEFINED) for a part in which nobody speaks."""
        for name, part in (("dev", dev), ("test", test)):
            if not any(_turns(item) for item in part):
                raise BadDataError(
                    Code.METRIC_UNDEFINED,
                    f"nobody speaks in the {len(part)} recordings of the {name} part; in the evaluation's data; check "
                    "its turns",
                )

    def make_head(self, size: Size) -> nn.Module:
        return FrameHead(size, self.head, self.spec.speakers)

    def loss(self, head: nn.Module, batch: Batch) -> Tensor:
        """Cross entropy in the best order of speakers, on a random stretch of each recording."""
        assert isinstance(head, FrameHead)  # noqa: S101 - made above
        states, num_frames, starts = cut_stretches(batch.states, batch.num_frames, self.spec.chunk_frames)
        active = torch.zeros(len(states), states.shape[2], self.spec.speakers, device=states.device)
        for row, item, first, count in zip(active, batch.examples, starts.tolist(), num_frames.tolist(), strict=True):
            whole = turns_to_frames(_turns(item), self.spec.speakers, first + count, head.hop_samples)
            row[:count] = torch.from_numpy(whole[first:])
        return diarization_loss(head.diarizer(head.sum(states), num_frames), active, num_frames)

    def predict(self, head: nn.Module, batch: Batch) -> list[JsonValue]:
        """The probabilities of each recording. The last frame counts to the end of the samples, as in the reference."""
        assert isinstance(head, FrameHead)  # noqa: S101 - made above
        logits = head.diarizer(head.sum(batch.states), batch.num_frames)  # (B, F, K)
        steps = (torch.sigmoid(logits) * STEPS).round().cpu().numpy().astype("<u2")
        found: list[JsonValue] = []
        for item, row, count in zip(batch.examples, steps, batch.num_frames.tolist(), strict=True):
            wanted = max(count, item.num_samples // head.hop_samples)
            kept = row[np.minimum(np.arange(wanted), count - 1)]
            text = base64.b64encode(np.ascontiguousarray(kept).tobytes()).decode()
            found.append({"probabilities": text, "hop_samples": head.hop_samples})
        return found

    def settle(
        self, dev: Sequence[Example], on_dev: Sequence[JsonValue], on_test: Sequence[JsonValue]
    ) -> list[JsonValue]:
        """The predictions on the test part with threshold, median filter and turns."""
        threshold, median = self._best_setting(dev, on_dev)[1]
        settled: list[JsonValue] = []
        for prediction in on_test:
            turns = _find_turns(prediction, self.spec.speakers, threshold, median)
            settled.append(
                {
                    **_fields(prediction),
                    "threshold": threshold,
                    "median": median,
                    "turns": [list(turn) for turn in turns],
                }
            )
        return settled

    def score(
        self, examples: Sequence[Example], predictions: Sequence[JsonValue], *, with_intervals: bool = True
    ) -> tuple[Figure, ...]:
        """DER: exact where turns are settled, else that of frames with the best setting, by which heads are chosen."""
        if "turns" not in _fields(predictions[0]):
            rate = self._best_setting(examples, predictions)[0]
            return (Figure(name="der", value=rate, is_lower_better=True),)
        settings = self._settings if with_intervals else ()
        judged = [
            Judged(
                _turns(item),
                [(start_s, end_s, str(name)) for start_s, end_s, name in _fields(found)["turns"]],
                [_find_turns(found, self.spec.speakers, *setting) for setting in settings],
                _scored(item),
                item.speaker,
            )
            for item, found in zip(examples, predictions, strict=True)
        ]
        return score_turns(judged, self.spec, with_intervals=with_intervals)

    @property
    def _settings(self) -> list[tuple[float, int]]:
        return [(threshold, median) for median in self.spec.medians for threshold in self.spec.thresholds]

    def _best_setting(
        self, examples: Sequence[Example], predictions: Sequence[JsonValue]
    ) -> tuple[float, tuple[float, int]]:
        """The least DER of frames, and the threshold and median filter that give it."""
        errors = np.zeros((len(self._settings), 2))
        for item, prediction in zip(examples, predictions, strict=True):
            steps, hop_samples = _steps(prediction, self.spec.speakers), _fields(prediction)["hop_samples"]
            num_speakers = len({name for *_, name in _turns(item)})
            reference = turns_to_frames(_turns(item), num_speakers, len(steps), hop_samples)
            kept = turns_to_frames([(*region, "") for region in _scored(item)], 1, len(steps), hop_samples)[:, 0]
            for number, setting in enumerate(self._settings):
                errors[number] += frame_errors(reference[kept], _decide(steps, *setting)[kept])
        best = int(errors[:, 0].argmin())
        return float(errors[best, 0] / errors[best, 1]) if errors[best, 1] else float("nan"), self._settings[best]


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


def _turns(example: Example) -> list[Turn]:
    return [(float(start_s), float(end_s), str(name)) for start_s, end_s, name in _fields(example.target)["turns"]]


def _scored(example: Example) -> list[Region]:
    """The stretches that are scored: all, unless the target says other."""
    whole = [(0.0, example.seconds)]
    return [(float(start_s), float(end_s)) for start_s, end_s in _fields(example.target).get("scored", whole)]


def _fields(value: JsonValue) -> dict[str, Any]:
    """The fields of a target or prediction, which are made here."""
    assert isinstance(value, dict)  # noqa: S101
    return value


def _steps(prediction: JsonValue, num_speakers: int) -> npt.NDArray[np.uint16]:
    """The probabilities of a prediction in steps, (F, K)."""
    return np.frombuffer(base64.b64decode(_fields(prediction)["probabilities"]), "<u2").reshape(-1, num_speakers)


def _decide(steps: npt.NDArray[np.uint16], threshold: float, median: int) -> Bools:
    return smooth(steps > round(threshold * STEPS), median)


def _find_turns(prediction: JsonValue, num_speakers: int, threshold: float, median: int) -> list[Turn]:
    active = _decide(_steps(prediction, num_speakers), threshold, median)
    return frames_to_turns(active, _fields(prediction)["hop_samples"])
