"""Speaker verification: voices are told apart on made frames, trials are scored, and lists are followed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import JsonValue

from tests.evaluation.core.made import MadeFeatures
from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Example, Take
from wavlm.evaluation.fit.head import Sets, fit_head, predict
from wavlm.evaluation.fit.published import score_best_on_test
from wavlm.evaluation.tasks.task import Size
from wavlm.evaluation.tasks.verification import Verification, Verifier
from wavlm.specs.evaluation import FitSpec
from wavlm.specs.heads import XvectorHead
from wavlm.specs.speakers import SpeakerVerification, TrialScoring

SIZE = Size(num_states=2, num_channels=6, hop_samples=320)
HEAD = XvectorHead(type="xvector", width=16)
SPEC = SpeakerVerification(type="asv", min_train_seconds=0.5)
FIT = FitSpec(optimizer="adamw", learning_rates=(3e-3,), updates=60, batch=12, dev_every=20, max_gradient=1e3)


def _example(speaker: str, number: int, **target: JsonValue) -> Example:
    return Example(f"c/{speaker}-{number}", speaker, "", 12800, Take(0, 0), {"speaker": speaker, **target})


def _voices(speakers: int, each: int) -> tuple[list[Example], MadeFeatures]:
    """Each voice moves along two directions of its own, in the second state alone."""
    rng = np.random.default_rng(0)
    examples, values = [], {}
    for number in range(speakers):
        angle = 2 * np.pi * number / speakers
        for take in range(each):
            states = rng.normal(size=(2, 39, 6)).astype(np.float32)
            states[1, :, :2] += 3 * np.array([np.cos(angle), np.sin(angle)])
            item = _example(f"s{number}", take)
            examples.append(item)
            values[item.key] = states
    return examples, MadeFeatures(values)


def test_new_recordings_of_voices_are_told_apart(tmp_path: Path) -> None:
    examples, features = _voices(6, 6)
    train, test = ([it for it in examples if (int(it.key[-1]) > 3) is last] for last in (False, True))
    trainee = Verification(SPEC, HEAD).begin(train, test)
    trainee.check(SIZE)
    trainee.check_parts(test, test)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        untrained = trainee.make_head(SIZE).eval()
    before = trainee.score(test, predict(trainee, untrained, test, features, "cpu"))[0]
    fitted = fit_head(trainee, Sets(train, test, features, SIZE), FIT, 3e-3, 0, tmp_path / "0.003-0.safetensors")
    eer, cost = trainee.score(test, predict(trainee, fitted.head, test, features, "cpu"))
    assert eer.value < 0.1 < before.value
    assert (eer.name, cost.name) == ("eer", "min_dcf")
    assert eer.note == "66 trials made by rule, 6 of one speaker"
    assert eer.interval is not None
    best = score_best_on_test(trainee, test, features, SIZE, FIT, 3e-3, tmp_path, "cpu")
    assert best.name == "eer_best_on_test"
    assert best.value <= eer.value
    assert "of 3 heads" in best.note  # one per look at the dev part


def _listed() -> list[Example]:
    """a-0 against a-1 (one voice) and b-0; b-0 against b-1 (one voice)."""
    return [
        _example("a", 0, trials={"vox1-o": [["c/a-1", 1], ["c/b-0", 0]]}),
        _example("a", 1),
        _example("b", 0, trials={"vox1-o": [["c/b-1", 1]]}),
        _example("b", 1),
    ]


def _verifier(trials: str = "") -> Verifier:
    return Verifier(SPEC.model_copy(update={"trials": trials}), HEAD, ("a", "b"))


def test_listed_trials_are_scored_and_no_others() -> None:
    """The cosines are 1, 0 and 0.6: of two voices 0; half of the targets pass where it does not."""
    vectors: list[JsonValue] = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.8, 0.6]]
    eer = _verifier("vox1-o").score(_listed(), vectors, with_intervals=False)[0]
    assert eer.value == 0.0
    assert eer.note == "3 trials of vox1-o, 2 of one speaker"
    worse: list[JsonValue] = [[1.0, 0.0], [1.0, 0.0], [0.6, 0.8], [-0.8, 0.6]]  # 1, 0.6 and 0: a target is below
    assert _verifier("vox1-o").score(_listed(), worse, with_intervals=False)[0].value == 0.5


def test_a_listed_trial_that_leaves_its_part_is_refused() -> None:
    with pytest.raises(BadDataError, match=r"TARGET_BAD: 1 trials of vox1-o name .* such as c/b-1"):
        _verifier("vox1-o").check_parts(_listed(), _listed()[:3])


def test_a_part_without_two_recordings_of_one_voice_is_refused() -> None:
    parts = [[_example("a", 0), _example("b", 0)], [_example("a", 0), _example("a", 1)]]
    for dev, test, name in ((parts[0], _listed(), "dev"), (_listed(), parts[1], "test")):
        with pytest.raises(BadDataError, match=f"METRIC_UNDEFINED: .* trials of the {name} part"):
            _verifier().check_parts(dev, test)


@pytest.mark.parametrize(
    ("voices", "dev", "scoring", "error"),
    [
        ("ab", "yz", {}, "CLASS_SINGLE: the cohort has 2 voices"),
        ("abc", "yz", {"per_speaker": 1}, "METRIC_UNDEFINED: 0 of 3 trials of the train part"),
        ("abc", "ab", {"calibration": "dev"}, "METRIC_UNDEFINED: 0 of 0 trials of the dev part"),  # no voice of its own
    ],
)
def test_what_scores_cannot_be_learned_from_is_refused_before_training(
    voices: str, dev: str, scoring: dict[str, int | str], error: str
) -> None:
    spec = SPEC.model_copy(update={"scoring": TrialScoring.model_validate(scoring)})
    train, others, test = (
        [_example(name, first + number) for name in names for number in range(2)]
        for names, first in ((voices, 0), (dev, 2), ("vw", 4))
    )
    trainee = Verification(spec, HEAD).begin(train, [*others, *test])
    with pytest.raises(BadDataError, match=error):
        trainee.check_parts(others, test)
    enough = [*train, *(_example(name, number) for name in "cd" for number in range(2, 4))]
    settled = replace(trainee, spec=SPEC.model_copy(update={"scoring": TrialScoring(calibration="none")}))
    replace(settled, speakers=("a", "b", "c", "d"), known=(*enough, *others, *test)).check_parts(others, test)


def test_a_single_training_voice_is_refused() -> None:
    with pytest.raises(BadDataError, match="CLASS_SINGLE: all 2 training examples are of a"):
        Verification(SPEC, HEAD).begin([_example("a", 0), _example("a", 1)], [])


@pytest.mark.parametrize(("hop_samples", "num_samples"), [(320, 400 + 15 * 320), (160, 400 + 15 * 160)])
def test_a_recording_too_short_for_the_network_is_refused_before_any_work(hop_samples: int, num_samples: int) -> None:
    """16 frames are needed: 15 hops and one window."""
    size = replace(SIZE, hop_samples=hop_samples)
    fits = replace(_example("a", 0), num_samples=num_samples)
    replace(_verifier(), known=(fits,)).check(size)
    with pytest.raises(BadDataError, match=r"UTTERANCE_SHORT: 1 of 2 recordings .* such as c/a-0"):
        replace(_verifier(), known=(fits, replace(fits, num_samples=num_samples - 1))).check(size)


def test_short_recordings_are_not_trained_on() -> None:
    task = Verification(SPEC, HEAD)
    example = _example("a", 0)
    assert task.for_training(example) is example  # 0.8 s
    assert task.for_training(replace(example, num_samples=7999)) is None
