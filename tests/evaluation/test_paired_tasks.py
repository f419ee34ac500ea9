"""Paired comparison of two evaluations: worked by hand or drawn anew, and silent where it would mislead."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sacrebleu
from sklearn.metrics import roc_curve

from wavlm.evaluation.facts import Gain
from wavlm.evaluation.outputs import PREDICTION_SCHEMA, PREDICTIONS
from wavlm.evaluation.paired_tasks import COMPARED, find_task_gain
from wavlm.evaluation.results.facts import EvaluationFacts, Figure
from wavlm.specs import gate
from wavlm.specs.generation import SpeechTranslation
from wavlm.specs.pairs import QueryByExample, SpeakerDiarization
from wavlm.specs.speakers import SpeakerVerification, TrialScoring
from wavlm.specs.tasks import KeywordSpotting, SlotFilling, TaskSpec
from wavlm.specs.yaml import find_suite
from wavlm.storage.parquet import write_parquet

Side = tuple[EvaluationFacts, Path]
LOWER = ("per", "cer", "wer", "eer", "der")
WORDS, VOICES = KeywordSpotting(type="ks"), SpeakerVerification(type="asv")


def side(folder: Path, name: str, value: float, pairs: Sequence[tuple[object, object]], *, seeds: int = 1) -> Side:
    folder.mkdir()
    rows = [
        {
            "key": f"e{number % (len(pairs) // seeds)}",
            "speaker": f"s{number % (len(pairs) // seeds)}",
            "fold": "",
            "seed": number // (len(pairs) // seeds),
            "target": json.dumps(target),
            "prediction": json.dumps(found),
        }
        for number, (target, found) in enumerate(pairs)
    ]
    write_parquet(folder / PREDICTIONS, pa.Table.from_pylist(rows, PREDICTION_SCHEMA))
    figure = Figure(name=name, value=value, is_lower_better=name in LOWER)
    facts = EvaluationFacts(evaluation="e", task="ks", subject="m", reality="real", figures=(figure,))
    return facts, folder


def answers(right: int, of: int) -> list[tuple[object, object]]:
    return [({"class": "a"}, {"class": "a" if number < right else "b"}) for number in range(of)]


def test_a_model_that_is_right_more_often_gains_with_an_interval_above_zero(tmp_path: Path) -> None:
    ours = side(tmp_path / "ours", "accuracy", 0.9, answers(36, 40))
    theirs = side(tmp_path / "theirs", "accuracy", 0.3, answers(12, 40))
    found = find_task_gain("demo/e/accuracy", ours, theirs, "accuracy", WORDS, 0.95)
    assert isinstance(found, Gain)
    assert found.gain == pytest.approx(0.6)
    # Of 40 examples 24 differ in favour of the first: mean 0.6, standard error sqrt(0.6 x 0.4 / 40).
    assert found.low == pytest.approx(0.6 - 1.96 * 0.0775, abs=0.02)
    assert (found.num_utterances, found.unit) == (40, "speakers")


def test_equal_predictions_gain_nothing(tmp_path: Path) -> None:
    both = [side(tmp_path / name, "accuracy", 0.5, answers(20, 40)) for name in ("ours", "theirs")]
    found = find_task_gain("demo/e/accuracy", both[0], both[1], "accuracy", WORDS, 0.95)
    assert isinstance(found, Gain)
    assert (found.gain, found.low, found.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("name", "target", "found", "value"),
    [
        ("cer", list("ab ab"), list("ab ac"), 0.2),
        ("wer", list("ab ab"), list("ab ac"), 0.5),
        ("per", ["a"], ["b"], 1.0),
    ],
)
def test_a_lower_error_rate_is_a_gain(tmp_path: Path, name: str, target: object, found: object, value: float) -> None:
    ours = side(tmp_path / "ours", name, 0.0, [(target, target)] * 6)
    theirs = side(tmp_path / "theirs", name, value, [(target, found)] * 6)
    gain = find_task_gain(f"demo/e/{name}", ours, theirs, name, WORDS, 0.95)
    assert isinstance(gain, Gain)
    assert (gain.gain, gain.low) == (pytest.approx(value), pytest.approx(value))


def test_seeds_are_no_examples_of_their_own(tmp_path: Path) -> None:
    ours = side(tmp_path / "ours", "accuracy", 1.0, answers(20, 20), seeds=2)
    theirs = side(tmp_path / "theirs", "accuracy", 0.5, answers(10, 20), seeds=2)
    found = find_task_gain("demo/e/accuracy", ours, theirs, "accuracy", WORDS, 0.95)
    assert isinstance(found, Gain)
    assert (found.num_utterances, found.gain) == (10, pytest.approx(0.5))


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    good = side(tmp_path / "good", "accuracy", 0.5, answers(20, 40))
    fewer = side(tmp_path / "fewer", "accuracy", 0.5, answers(19, 38))
    wrong = side(tmp_path / "wrong", "accuracy", 0.75, answers(20, 40))
    tiny = side(tmp_path / "tiny", "accuracy", 0.5, answers(2, 4))
    other = side(tmp_path / "other", "jer", 0.5, answers(20, 40))
    said = [
        find_task_gain("m", *pair, "jer" if pair[0] is other else "accuracy", WORDS, 0.95)
        for pair in ((good, fewer), (good, wrong), (tiny, tiny), (good, other), (other, other))
    ]
    assert said[-1].startswith("m is no comparison: jer is not compared in pairs; the figures that are: accuracy, ")  # type: ignore[union-attr]
    assert said[:-1] == [
        "m is no comparison: their test examples differ",
        "m is no comparison: predictions do not give accuracy 0.75 again",
        "m is no comparison: there are fewer than 5 test examples",
        "m is no comparison: not both evaluations have one figure accuracy",
    ]


def gain_of(
    tmp_path: Path, name: str, task: TaskSpec, pairs: Sequence[Sequence[tuple[object, object]]], *values: float
) -> Gain:
    """The gain of the first predictions over the second; `values`: the figures of both."""
    right = side(tmp_path / "right", name, values[0], pairs[0])
    wrong = side(tmp_path / "wrong", name, values[1], pairs[1])
    found = find_task_gain(f"demo/e/{name}", right, wrong, name, task, 0.95)
    assert isinstance(found, Gain), found
    return found


def test_diarization_is_compared_by_seconds(tmp_path: Path) -> None:
    """Ten seconds of speech per recording, of which eight are found: a DER of 0.2, in whichever are drawn."""
    target = {"turns": [[0.0, 6.0, "a"], [4.0, 8.0, "b"]], "scored": [[0.0, 9.0]]}
    exact, short = {"turns": target["turns"]}, {"turns": [[0.0, 6.0, "1"], [4.0, 6.0, "2"]]}
    pairs = [[(target, exact)] * 6, [(target, short)] * 6]
    found = gain_of(tmp_path, "der", SpeakerDiarization(type="sd"), pairs, 0.0, 0.2)
    assert (found.gain, found.low, found.high) == (pytest.approx(0.2),) * 3


def test_slots_are_compared_by_the_mean_over_utterances(tmp_path: Path) -> None:
    wanted = ["B-what", "a", "E-what", " ", "B-time", "7", "E-time"]
    pairs = [[(wanted, wanted)] * 6, [(wanted, wanted[:3])] * 3 + [(wanted, wanted)] * 3]
    found = gain_of(tmp_path, "slot_type_f1", SlotFilling(type="sf"), pairs, 1.0, 5 / 6)
    assert found.gain == pytest.approx(1 / 6)  # half of them have one type of two: F1 2/3
    assert found.low < 1 / 6 < found.high


def test_translations_are_compared_by_bleu_of_each_draw(tmp_path: Path) -> None:
    texts = [f"one two three four {word}" for word in ("five", "six", "seven", "eight", "nine", "ten")]
    others = [text.replace("three", "3") if place % 2 else text for place, text in enumerate(texts)]
    value = sacrebleu.corpus_bleu(others, [texts]).score
    pairs = [[(text, {"text": found}) for text, found in zip(texts, side, strict=True)] for side in (texts, others)]
    found = gain_of(tmp_path, "bleu", SpeechTranslation(type="st"), pairs, 100.0, value)
    assert found.gain == pytest.approx(100 - value)
    worst = sacrebleu.corpus_bleu(others[1::2], [texts[1::2]]).score
    assert 0 <= found.low < found.gain < found.high <= 100 - worst + 1e-9


def test_searches_are_compared_by_their_best_value(tmp_path: Path) -> None:
    """What finds every query has the value 1, what has one score for all documents finds nothing: 0."""
    documents = [f"d{number}" for number in range(6)]
    best, none = (
        [
            ({"holds": [document]}, {"scores": {it: float(is_right and it == document) for it in documents}})
            for document in documents
        ]
        for is_right in (True, False)
    )
    found = gain_of(tmp_path, "mtwv", QueryByExample(type="qbe"), [best, none], 1.0, 0.0)
    assert (found.gain, found.low, found.high) == (pytest.approx(1.0),) * 3
    assert found.num_blocks == 12  # queries and documents


def equal_error_rate(scores: np.ndarray, is_target: np.ndarray) -> float:
    alarms, hits, _ = roc_curve(is_target, scores, drop_intermediate=False)
    return float(np.interp(0.0, alarms + hits - 1, alarms))


def test_voices_are_compared_on_trials_that_are_drawn_by_what_they_join(tmp_path: Path) -> None:
    """Against a bootstrap that repeats the trials of drawn recordings, with scikit-learn's curve."""
    rng = np.random.default_rng(0)
    speakers = np.repeat(np.arange(4), 4)
    sides, rates, scores = [], [], []
    left, right = np.triu_indices(len(speakers), 1)
    is_target = speakers[left] == speakers[right]
    for name, noise in (("ours", 0.6), ("theirs", 1.2)):
        vectors = np.eye(4)[speakers] + noise * rng.normal(size=(len(speakers), 4))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        scores.append((vectors[left] * vectors[right]).sum(axis=1))
        rates.append(equal_error_rate(scores[-1], is_target))
        pairs = [({"speaker": f"s{speaker}"}, row) for speaker, row in zip(speakers, vectors.tolist(), strict=True)]
        sides.append(made_of(tmp_path / name, pairs, [f"s{speaker}" for speaker in speakers], rates[-1]))
    found = find_task_gain("demo/e/eer", sides[0], sides[1], "eer", VOICES, 0.9)
    assert isinstance(found, Gain), found
    assert (found.ours, found.theirs) == (pytest.approx(rates[0]), pytest.approx(rates[1]))
    gains = []
    for _ in range(400):
        times = np.bincount(rng.integers(len(speakers), size=len(speakers)), minlength=len(speakers))
        drawn = np.repeat(np.arange(len(left)), times[left] * times[right])
        ours, theirs = (equal_error_rate(of_side[drawn], is_target[drawn]) for of_side in scores)
        gains.append(theirs - ours)
    assert (found.low, found.high) == pytest.approx(np.quantile(gains, [0.05, 0.95]).tolist(), abs=0.035)


def made_of(folder: Path, pairs: Sequence[tuple[object, object]], speakers: Sequence[str], value: float) -> Side:
    """Results of verification with the keys in the order of the examples."""
    folder.mkdir()
    rows = [
        {"key": f"e{place:02}", "speaker": speaker, "fold": "", "seed": 0}
        | dict(zip(("target", "prediction"), text, strict=True))
        for place, (speaker, text) in enumerate(
            zip(speakers, [tuple(map(json.dumps, it)) for it in pairs], strict=True)
        )
    ]
    write_parquet(folder / PREDICTIONS, pa.Table.from_pylist(rows, PREDICTION_SCHEMA))
    figure = Figure(name="eer", value=value, is_lower_better=True)
    return EvaluationFacts(evaluation="e", task="asv", subject="m", reality="real", figures=(figure,)), folder


def test_a_gate_takes_the_figures_that_are_compared_and_no_others() -> None:
    """Known before anything is trained: a mistyped figure would be found when the version is registered."""
    assert set(gate.COMPARED) == set(COMPARED)
    suite = find_suite(Path("small"))
    voices = next(it for it in suite.evaluations if it.task.type == "asv")
    metric = f"small/{voices.name.removeprefix('small-')}"
    assert gate.explain_unmeasured(f"{metric}/eer", suite) == ""
    assert "found 'err'; figures that are compared in pairs: accuracy" in gate.explain_unmeasured(
        f"{metric}/err", suite
    )
    task = voices.task.model_copy(update={"scoring": TrialScoring()})
    changed = suite.model_copy(update={"evaluations": (voices.model_copy(update={"task": task}),)})
    assert "compare by an evaluation without `scoring`" in gate.explain_unmeasured(f"{metric}/eer", changed)
