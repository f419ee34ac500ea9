"""Diarization: frames and turns, errors of frames, what is learned on made frames, and what is chosen on dev."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import JsonValue
from scipy.signal import medfilt

from tests.evaluation.core.made import MadeFeatures
from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Example, Take
from wavlm.evaluation.fit.head import Sets, fit_head, predict
from wavlm.evaluation.labelled import Row
from wavlm.evaluation.metrics.diarization import diarization_errors
from wavlm.evaluation.tasks.activity import frame_errors, frames_to_turns, meet, overlapped, smooth, turns_to_frames
from wavlm.evaluation.tasks.diarization import Diarization, _example
from wavlm.evaluation.tasks.task import Size
from wavlm.specs.evaluation import FitSpec
from wavlm.specs.heads import DiarizerHead
from wavlm.specs.pairs import SpeakerDiarization

SIZE = Size(num_states=2, num_channels=4, hop_samples=320)
SPEC = SpeakerDiarization(type="sd")
TASK = Diarization(SPEC, DiarizerHead(type="diarizer", hidden=16))
FIT = FitSpec(learning_rates=(2e-2,), updates=60, batch=8, dev_every=20)


def test_turns_become_frames_and_frames_turns() -> None:
    turns = [(0.1, 0.3, "b"), (0.2, 0.5, "a"), (0.71, 0.8, "b")]
    active = turns_to_frames(turns, 3, 50, 320)
    assert active.shape == (50, 3)
    assert active[:, 0].nonzero()[0].tolist() == list(range(10, 25))  # names in order: a
    assert active[:, 1].nonzero()[0].tolist() == [*range(5, 15), *range(36, 40)]  # 0.71 s is 35.5 frames
    assert not active[:, 2].any()
    assert frames_to_turns(active, 320) == [(0.2, 0.5, "1"), (0.1, 0.3, "2"), (0.72, 0.8, "2")]


def test_regions_of_overlap_are_those_worked_by_hand() -> None:
    turns = [(0.0, 2.0, "a"), (1.0, 3.0, "b"), (1.5, 4.0, "c"), (6.0, 7.0, "a")]
    assert overlapped(turns) == [(1.0, 3.0)]
    assert meet(overlapped(turns), [(0.0, 1.2), (2.5, 9.0)]) == [(1.0, 1.2), (2.5, 3.0)]


@pytest.mark.parametrize("width", [1, 3, 11])
def test_smoothing_is_the_median_filter_of_scipy(width: int) -> None:
    active = np.random.default_rng(0).random((60, 2)) > 0.5
    assert np.array_equal(smooth(active, width), medfilt(active.astype(float), (width, 1)) > 0.5)


def test_errors_of_frames_are_those_of_pyannote() -> None:
    """On turns that begin and end at frames both are the same, whatever the numbers of speakers."""
    rng = np.random.default_rng(0)
    for num_found, num_speakers in ((2, 2), (2, 4), (3, 1)):
        reference, found = (smooth(rng.random((200, count)) > 0.5, 5) for count in (num_speakers, num_found))
        exact = diarization_errors(
            frames_to_turns(reference, 320), frames_to_turns(found, 320), [(0.0, 4.0)], collar_each_side_s=0.0
        )
        errors, speech = frame_errors(reference, found)
        assert (errors * 0.02, speech * 0.02) == pytest.approx(tuple(exact.sums), abs=1e-6)


def _conversations(count: int) -> tuple[list[Example], MadeFeatures]:
    """Two voices, each of which is a direction of the second state; their turns overlap."""
    rng = np.random.default_rng(0)
    examples, values = [], {}
    for number in range(count):
        begin, end = rng.uniform(0.2, 0.9), rng.uniform(1.0, 1.6)
        turns: list[JsonValue] = [[0.1, round(end, 2), "x"], [round(begin, 2), 1.9, "y"]]
        active = turns_to_frames([(0.1, end, "x"), (begin, 1.9, "y")], 2, 99, 320)
        states = rng.normal(size=(2, 99, 4)).astype(np.float32)
        states[1, :, :2] += 4 * active[:, ::-1] if number % 2 else 4 * active  # whoever comes first may be either
        examples.append(Example(f"r{number}", "", "", 32000, Take(0, 0), {"turns": turns}))
        values[f"r{number}"] = states
    return examples, MadeFeatures(values)


def test_overlapped_voices_are_found_and_threshold_and_filter_are_those_of_the_dev_part(tmp_path: Path) -> None:
    examples, features = _conversations(24)
    train, dev, test = examples[:16], examples[16:20], examples[20:]
    trainee = TASK.begin(train, (*dev, *test))
    trainee.check_parts(dev, test)
    fitted = fit_head(trainee, Sets(train, dev, features, SIZE), FIT, 2e-2, 0, tmp_path / "fit")
    on_dev, on_test = (predict(trainee, fitted.head, part, features, "cpu") for part in (dev, test))
    settled = trainee.settle(dev, on_dev, on_test)
    der, overlap, best = trainee.score(test, settled)
    assert (der.name, overlap.name, best.name) == ("der", "der_overlap", "der_best_on_test")
    assert best.value <= der.value < 0.15
    assert "collar 0 s on each side" in der.note
    assert der.interval is not None
    chosen = {(found["threshold"], found["median"]) for found in settled}  # type: ignore[index,call-overload]
    assert len(chosen) == 1
    rates = {
        setting: trainee.score(dev, SingleSetting(setting).settle(dev, on_dev, on_dev), with_intervals=False)[0].value
        for setting in trainee._settings
    }
    assert rates[chosen.pop()] <= min(rates.values()) + 0.01  # exact turns against frames


class SingleSetting:
    """Settles for one threshold and filter."""

    def __init__(self, setting: tuple[float, int]) -> None:
        spec = SPEC.model_copy(update={"thresholds": setting[:1], "medians": setting[1:]})
        self.settle = Diarization(spec, TASK.head).begin((), ()).settle


def test_the_exact_score_is_that_worked_by_hand() -> None:
    """x speaks from 0 to 1 s and y from 0.5 to 1.5 s; found is x alone, until 1.2 s: 1.0 missed, 0.2 wrong, of 2 s."""
    item = Example("r", "", "", 32000, Take(0, 0), {"turns": [[0.0, 1.0, "x"], [0.5, 1.5, "y"]]})
    found: JsonValue = {"turns": [[0.0, 1.2, "1"]], "probabilities": "", "hop_samples": 320}
    (der,) = TASK.begin((), ()).score([item], [found], with_intervals=False)
    # From 1.0 to 1.2 s y speaks and x is found: one second of x is right, 0.5 and 0.3 s are missed, 0.2 s confused.
    assert der.value == pytest.approx((0.5 + 0.3 + 0.2) / 2.0)
    scored = replace(item, target={**item.target, "scored": [[0.0, 0.5]]})  # type: ignore[dict-item]
    assert TASK.begin((), ()).score([scored], [found], with_intervals=False)[0].value == 0.0


def _row(turns: JsonValue) -> Row:
    return Row("r", "", "", None, None, {"turns": turns}, 16000, Take(0, 0))


@pytest.mark.parametrize("turn", [[1.0, 1.2, "a"], [0.5, 1.6, "a"]])
def test_a_turn_outside_of_its_recording_is_refused(turn: JsonValue) -> None:
    assert _example(_row([[0.5, 1.2, "a"]]), "c").target == {"turns": [[0.5, 1.2, "a"]]}  # labels are rounded
    with pytest.raises(BadDataError, match=r"TARGET_BAD: a turn of a is from .* the recording r has 1[.]000 s"):
        _example(_row([turn]), "c")


def test_more_voices_than_outputs_are_refused_in_training_and_told_in_scores() -> None:
    turns: JsonValue = [[0.0, 1.0, name] for name in "abc"]
    item = Example("r", "", "", 32000, Take(0, 0), {"turns": turns})
    with pytest.raises(BadDataError, match=r"TARGET_BAD: r has 3 speakers \(a, b, c\), the head has 2"):
        TASK.begin([item], [])
    found: JsonValue = {"turns": [[0.0, 1.0, "1"]], "probabilities": "", "hop_samples": 320}
    (der,) = TASK.begin([], [item]).score([item], [found], with_intervals=False)
    assert "1 of 1 recordings have more than the 2 speakers" in der.note


def test_a_part_in_which_nobody_speaks_is_refused() -> None:
    silent = Example("r", "", "", 32000, Take(0, 0), {"turns": []})
    spoken = replace(silent, target={"turns": [[0.0, 1.0, "a"]]})
    with pytest.raises(BadDataError, match="METRIC_UNDEFINED: nobody speaks in the 1 recordings of the dev part"):
        TASK.begin([], []).check_parts([silent], [spoken])


@pytest.mark.parametrize(
    ("target", "collar"),
    [
        ({"turns": [[0.0, 1.0, "a"]], "scored": [[1.2, 2.0]]}, 0.0),
        ({"turns": [[0.5, 0.9, "a"]]}, 0.25),
    ],
    ids=["no scored region", "within the collar"],
)
def test_a_part_of_which_no_speech_is_scored_is_refused_before_any_work(target: JsonValue, collar: float) -> None:
    spoken = Example("r", "", "", 32000, Take(0, 0), {"turns": [[0.0, 1.0, "a"]]})
    task = Diarization(SPEC.model_copy(update={"collar_seconds": collar}), DiarizerHead(type="diarizer", hidden=16))
    task.begin([], []).check_parts([spoken], [spoken])
    with pytest.raises(BadDataError, match="METRIC_UNDEFINED: nobody speaks in the 1 recordings of the test part"):
        task.begin([], []).check_parts([spoken], [replace(spoken, target=target)])


def test_silent_recordings_leave_the_figure_and_say_why_there_is_no_interval() -> None:
    """Of three recordings one has speech: 8 of 27 draws have none."""
    turns = [[[0.0, 1.0, "a"]], [], []]
    examples = [Example(f"{n}", "", "", 32000, Take(0, n), {"turns": it}) for n, it in enumerate(turns)]
    found: list[JsonValue] = [
        {"turns": [[0.0, 0.5, "1"]], "probabilities": "", "hop_samples": 320, "frames": 0, "speakers": 0}
    ] * 3
    der = TASK.begin([], []).score(examples, found)[0]
    assert (der.value, der.interval) == (pytest.approx(1.5), None)
    assert "no interval: too few recordings in which somebody speaks" in der.note
