"""Scores of trials: AS-norm and quality measures by hand, the calibration against scipy, and what they are made of."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from tests.evaluation.pairs.test_verification import _example, _listed
from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Example
from wavlm.evaluation.tasks.back_end import BackEnd, examples_to_learn_from
from wavlm.evaluation.tasks.calibration import STRENGTH, fit_calibration, measure_quality
from wavlm.evaluation.tasks.cohort import Cohort, cosines_of, make_cohort, normalise_scores
from wavlm.evaluation.tasks.speeds import at_speeds
from wavlm.evaluation.tasks.trials import Pairs
from wavlm.evaluation.tasks.verification import Verifier
from wavlm.specs.heads import XvectorHead
from wavlm.specs.speakers import SpeakerVerification, TrialScoring

ONE = Pairs(np.array([0]), np.array([1]), np.array([True]))
PLANE = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.6, 0.8]])  # voices of a cohort, as they are compared with


def test_a_voice_is_the_mean_of_its_recordings_without_the_mean_of_all() -> None:
    """The mean of all is (2, 1). Voice a is (3, 1), so to the right of it; b is (1, 2), c (1, 0)."""
    embeddings = np.array([[4.0, 1.0], [2.0, 1.0], [1.0, 2.0], [1.0, 0.0]])
    cohort = make_cohort(embeddings, ["a", "a", "b", "c"], 2)
    assert cohort.mean.tolist() == [2.0, 1.0]
    half = math.sqrt(0.5)
    assert cohort.speakers == ("a", "b", "c")
    assert np.allclose(cohort.voices, [[1, 0], [-half, half], [-half, -half]])


def test_scores_are_normalised_by_the_nearest_voices_of_each_side() -> None:
    """Left is (1, 0): its cosines are 1, 0, -1 and 0.6, of which 1 and 0.6 count: mean 0.8, deviation 0.2.

    Right is (0, 1): 0, 1, 0, 0.8: mean 0.9, deviation 0.1. Their score is 0: -4 and -9 deviations.
    """
    cohort = Cohort(np.array([5.0, 5.0]), PLANE, ("a", "b", "c", "d"), 2)
    prints = cohort.describe(np.array([[8.0, 5.0], [5.0, 5.5]]))
    assert prints.lengths.tolist() == [3.0, 0.5]
    assert prints.means.tolist() == pytest.approx([0.8, 0.9])
    assert prints.deviations.tolist() == pytest.approx([0.2, 0.1])
    scores = cosines_of(prints.vectors, ONE)
    assert scores.tolist() == [0.0]
    assert normalise_scores(scores, prints, ONE).tolist() == pytest.approx([(-4 - 9) / 2])


def test_nobody_is_compared_with_himself() -> None:
    cohort = Cohort(np.zeros(2), PLANE, ("a", "b", "c", "d"), 2)
    prints = cohort.describe(np.array([[1.0, 0.0], [1.0, 0.0]]), ["a", "z"])
    assert prints.means.tolist() == pytest.approx([(0 + 0.6) / 2, 0.8])
    everyone = Cohort(np.zeros(2), PLANE, ("a", "b", "c", "d"), 300)  # all others
    found = everyone.describe(np.array([[1.0, 0.0], [1.0, 0.0]]), ["a", "z"]).means
    assert found.tolist() == pytest.approx([(0 - 1 + 0.6) / 3, (1 + 0.6 + 0) / 3])


def test_thirteen_numbers_of_a_trial_by_hand() -> None:
    cohort = Cohort(np.zeros(2), PLANE, ("a", "b", "c", "d"), 2)
    prints = cohort.describe(np.array([[3.0, 0.0], [0.0, 0.5]]))
    found = measure_quality(np.array([-6.5]), prints, np.array([2.0, 8.0]), ONE)[0]
    expected = [-6.5, 2, 8, 6, 4, 0.5, 3, 2.5, 6, 0.8, 0.9, 0.1, 0.9 / 0.8]
    assert found.tolist() == pytest.approx(expected)


def test_the_calibration_minimises_the_cost_of_log_likelihood_ratios() -> None:
    """Cllr and a ridge on measures of deviation 1, against scipy's minimum; targets and others weigh alike."""
    rng = np.random.default_rng(0)
    is_target = rng.random(300) < 0.2
    measures = rng.normal(size=(300, 13)) * np.linspace(0.1, 20, 13) + 3
    measures[:, 0] += 0.1 * is_target
    measures[:, 5] = 7.0  # all alike: it can say nothing
    scale = np.where(np.arange(13) == 5, 1.0, measures.std(axis=0))
    shares = np.where(is_target, 0.5 / is_target.sum(), 0.5 / (~is_target).sum()) * len(measures)

    def cost(point: np.ndarray) -> float:
        ratios = measures @ point[:13] + point[13]
        wrong = np.logaddexp(0, np.where(is_target, -ratios, ratios))
        return float(shares @ wrong + 0.5 / STRENGTH * np.sum((point[:13] * scale) ** 2))

    found = fit_calibration(measures, is_target)
    best = minimize(cost, np.zeros(14), method="BFGS", options={"gtol": 1e-6, "maxiter": 2000})
    assert cost(np.append(found.weights, found.bias)) == pytest.approx(best.fun, rel=1e-6)
    assert found.weights[5] == 0
    assert np.allclose(found.apply(measures), measures @ best.x[:13] + best.x[13], atol=0.02)


def test_long_lists_are_scored_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wavlm.evaluation.tasks.cohort.BLOCK", 2)
    pairs = Pairs(np.array([0, 1, 2, 3, 0]), np.array([1, 2, 3, 0, 0]), np.ones(5, dtype=bool))
    assert cosines_of(PLANE, pairs).tolist() == pytest.approx([0, 0, -0.6, 0.6, 1])
    prints = Cohort(np.zeros(2), PLANE, ("a", "b", "c", "d"), 1).describe(PLANE)
    assert prints.means.tolist() == pytest.approx([1, 1, 1, 1])


def _voices(names: str, dimensions: int = 4) -> tuple[list[Example], np.ndarray]:
    """Three recordings of each voice, near a direction of its own, and longer ones nearer."""
    rng = np.random.default_rng(1)
    examples, embeddings = [], []
    for name in names:
        direction = rng.normal(size=dimensions)
        for take in range(3):
            examples.append(_example(name, take))
            embeddings.append(2 * direction + rng.normal(size=dimensions) * (3 - take) / 3)
    return examples, np.array(embeddings)


def test_lists_are_scored_by_all_methods_and_named_by_method_and_list() -> None:
    """Of the dev part's voices the calibration is learned; the figures of the first list come without its name."""
    spec = SpeakerVerification(
        type="asv", trials="vox1-o", more_trials=("vox1-h",), scoring=TrialScoring(calibration="dev", cohort=3)
    )
    verifier = Verifier(spec, XvectorHead(type="xvector"), tuple("efghij"))
    training, dev = _voices("efghij"), _voices("kl")
    examples = [*training[0], *dev[0]]
    wanted = verifier.calibrate_on(training[0], dev[0])
    assert [item.key for item in wanted[-6:]] == [item.key for item in dev[0]]
    embedded = dict(zip([it.key for it in examples], np.concatenate([training[1], dev[1]]).tolist(), strict=True))
    scorer = verifier.calibrate(wanted, [embedded[item.key] for item in wanted])
    test = _listed()
    test[0].target["trials"]["vox1-h"] = [["c/b-1", 0], ["c/a-1", 1]]  # type: ignore[index,call-overload]
    figures = scorer.score(test, [[1.0, 0, 0, 0], [1, 0.1, 0, 0], [0, 1, 0, 0], [0, 1, 0.2, 0]])
    names = [figure.name for figure in figures]
    assert names[::2] == ["eer", "eer_vox1-h", "eer_as_norm", "eer_as_norm_vox1-h", "eer_qmf", "eer_qmf_vox1-h"]
    assert names[1] == "min_dcf"
    notes = {figure.name: figure.note for figure in figures}
    assert notes["eer"].startswith("3 trials of vox1-o, 2 of one speaker; mean of the training embeddings subtracted")
    assert "AS-norm by the nearest 3 of 6 training voices, calibrated on 15 trials of the dev part" in notes["eer_qmf"]
    assert figures[0].value == 0.0


def test_a_cohort_knows_no_voices_at_other_speeds_and_a_few_recordings_of_each() -> None:
    examples, _ = _voices("ab")
    every = at_speeds(examples, (0.9,))
    assert {item.speaker for item in every} == {"a", "b", "a@0.9", "b@0.9"}
    found = examples_to_learn_from(TrialScoring(per_speaker=2), every, [])
    assert sorted(item.speaker for item in found) == ["a", "a", "b", "b"]


def test_too_few_voices_for_a_cohort_or_a_calibration_are_refused() -> None:
    examples, embeddings = _voices("ab")
    known = np.ones(6, dtype=bool)
    with pytest.raises(BadDataError, match="CLASS_SINGLE: the cohort has 2 voices, expected 3 or more"):
        BackEnd.learn(TrialScoring(), examples, embeddings, known)
    examples, embeddings = _voices("abcd")
    known = np.array([item.speaker != "d" for item in examples])
    with pytest.raises(BadDataError, match="METRIC_UNDEFINED: 3 of 3 trials of the dev part are of one speaker"):
        BackEnd.learn(TrialScoring(calibration="dev"), examples, embeddings, known)


def _scored(calibration: str, train: list[Example], dev: list[Example]) -> Verifier:
    scoring = TrialScoring.model_validate({"calibration": calibration})
    voices = tuple(sorted({item.speaker for item in train}))
    return Verifier(
        SpeakerVerification(type="asv", scoring=scoring), XvectorHead(type="xvector"), voices, (*train, *dev)
    )


def test_what_a_calibration_cannot_learn_from_is_refused_before_any_work() -> None:
    train, dev, test = (_voices(names)[0] for names in ("abc", "de", "fg"))
    _scored("dev", train, dev).check_parts(dev, test)
    with pytest.raises(BadDataError, match="CLASS_SINGLE: the cohort has 2 voices"):
        _scored("none", train[:6], dev).check_parts(dev, test)
    for calibration in ("train", "dev"):
        train, dev = (
            [_voices(names)[0][row] for row in rows] for names, rows in (("abc", (0, 3, 6)), ("ab", (1, 4, 5)))
        )
        message = f"METRIC_UNDEFINED: 0 of . trials of the {calibration} part"
        with pytest.raises(BadDataError, match=message):
            _scored(calibration, train, dev).check_parts(dev, test)


def test_dev_recordings_of_training_voices_are_neither_cohort_nor_calibration() -> None:
    train, dev = _voices("abc")[0], [*_voices("c")[0], *_voices("de")[0]]
    found = _scored("dev", train, dev).calibrate_on(train, dev)
    assert sorted({item.speaker for item in found}) == list("abcde")
    assert [item.speaker for item in found].count("c") == 3
