"""What diarization finds and is judged by: probabilities of frames, turns, thresholds and median filters.

A target is {"turns": [[start_s, end_s, speaker], ...]}, and {"scored": [[start_s, end_s], ...]} if not all is scored.
A prediction holds the probabilities of all frames, and, on the test part, the threshold and the median filter that were
best on the dev part, and the turns that they give.

Legend: F frames, K speakers of a prediction.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from wavlm.errors import BadDataError, Code
from wavlm.evaluation.examples import Example, cut_audio
from wavlm.evaluation.metrics.diarization import Region, Turn, diarization_errors
from wavlm.evaluation.results.facts import Figure
from wavlm.evaluation.tasks.activity import Bools, frame_errors, frames_to_turns, smooth, turns_to_frames
from wavlm.evaluation.tasks.turn_errors import Judged, score_turns
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.specs.pairs import SpeakerDiarization

STEPS = 10_000  # probabilities are kept in steps of 1 / 10,000


@dataclass(frozen=True)
class TurnScorer:
    """How good turns are, and which threshold and filter make them."""

    spec: SpeakerDiarization

    def check_parts(self, dev: Sequence[Example], test: Sequence[Example]) -> None:
        """Raise BadDataError (METRIC_UNDEFINED) for a part in which nobody speaks where it is scored."""
        for name, part, collar in (("dev", dev, 0.0), ("test", test, self.spec.collar_seconds)):
            if not any(_has_scored_speech(item, collar) for item in part):
                raise BadDataError(
                    Code.METRIC_UNDEFINED,
                    f"nobody speaks in the {len(part)} recordings of the {name} part where they are scored, with a "
                    f"collar of {collar:g} s on each side; in the evaluation's data; check turns, regions and collar",
                )

    def settle(
        self, dev: Sequence[Example], on_dev: Sequence[JsonValue], on_test: Sequence[JsonValue]
    ) -> list[JsonValue]:
        """The predictions on the test part with threshold, median filter and turns."""
        threshold, median = self._best_setting(dev, on_dev)[1]
        settled: list[JsonValue] = []
        for prediction in on_test:
            turns = _find_turns(prediction, threshold, median)
            settled.append(
                {
                    **fields_of(prediction),
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
        if "turns" not in fields_of(predictions[0]):
            rate = self._best_setting(examples, predictions)[0]
            return (Figure(name="der", value=rate, is_lower_better=True),)
        settings = self._settings if with_intervals else ()
        judged = [
            Judged(
                turns_of(item),
                [(start_s, end_s, str(name)) for start_s, end_s, name in fields_of(found)["turns"]],
                [_find_turns(found, *setting) for setting in settings],
                scored_of(item),
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
            steps, hop_samples = _steps(prediction), fields_of(prediction)["hop_samples"]
            num_speakers = len({name for *_, name in turns_of(item)})
            reference = turns_to_frames(turns_of(item), num_speakers, len(steps), hop_samples)
            kept = turns_to_frames([(*region, "") for region in scored_of(item)], 1, len(steps), hop_samples)[:, 0]
            for number, setting in enumerate(self._settings):
                errors[number] += frame_errors(reference[kept], _decide(steps, *setting)[kept])
        best = int(errors[:, 0].argmin())
        return float(errors[best, 0] / errors[best, 1]) if errors[best, 1] else float("nan"), self._settings[best]


def turns_of(example: Example) -> list[Turn]:
    """The turns of the target."""
    return [(float(start_s), float(end_s), str(name)) for start_s, end_s, name in fields_of(example.target)["turns"]]


def scored_of(example: Example) -> list[Region]:
    """The stretches that are scored: all, unless the target says other."""
    whole = [(0.0, example.seconds)]
    return [(float(start_s), float(end_s)) for start_s, end_s in fields_of(example.target).get("scored", whole)]


def _has_scored_speech(example: Example, collar: float) -> bool:
    turns = turns_of(example)
    return bool(turns) and diarization_errors(turns, [], scored_of(example), collar_each_side_s=collar).total_s > 0


def cut_turns(example: Example, start: int, stop: int) -> Example:
    """The samples from `start` to before `stop` of a recording, with the turns and scored stretches in them."""
    first_s, last_s = start / SAMPLE_RATE_HZ, stop / SAMPLE_RATE_HZ
    target: dict[str, JsonValue] = {
        name: [
            [max(it[0], first_s) - first_s, min(it[1], last_s) - first_s, *it[2:]]
            for it in rows
            if it[0] < last_s and it[1] > first_s
        ]
        for name, rows in fields_of(example.target).items()
    }
    return replace(cut_audio(example, start, stop), target=target)


def fields_of(value: JsonValue) -> dict[str, Any]:
    """The fields of a target or prediction, which are made here."""
    assert isinstance(value, dict)  # noqa: S101
    return value


def keep_probabilities(probabilities: npt.NDArray[np.floating[Any]], hop_samples: int) -> JsonValue:
    """The prediction of a recording: (F, K), a frame every `hop_samples`."""
    steps = (probabilities * STEPS).round().astype("<u2")
    text = base64.b64encode(np.ascontiguousarray(steps).tobytes()).decode()
    return {"probabilities": text, "hop_samples": hop_samples, "speakers": steps.shape[1], "frames": len(steps)}


def probabilities_of(prediction: JsonValue) -> npt.NDArray[np.float32]:
    """The probabilities of a prediction, (F, K)."""
    return _steps(prediction).astype(np.float32) / np.float32(STEPS)


def _steps(prediction: JsonValue) -> npt.NDArray[np.uint16]:
    """The probabilities of a prediction in steps, (F, K)."""
    fields = fields_of(prediction)
    flat = np.frombuffer(base64.b64decode(fields["probabilities"]), "<u2")
    return flat.reshape(-1, fields["speakers"]) if flat.size else np.zeros((fields["frames"], 0), np.uint16)


def _decide(steps: npt.NDArray[np.uint16], threshold: float, median: int) -> Bools:
    return smooth(steps > round(threshold * STEPS), median)


def _find_turns(prediction: JsonValue, threshold: float, median: int) -> list[Turn]:
    active = _decide(_steps(prediction), threshold, median)
    return frames_to_turns(active, fields_of(prediction)["hop_samples"])
