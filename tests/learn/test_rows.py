"""The machinery of `make learn`: what counts as beating, what is measured again, trivial answers and the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.optimize import brentq
from sklearn.metrics import roc_curve

from tests.learn.__main__ import champion, keep
from tests.learn.baselines import best_constant
from tests.learn.clustering import CLUSTERINGS, errors_of, known_recordings, rate_of
from tests.learn.gains import gain_of_sums, gain_of_trials
from tests.learn.measure import LEARNERS, Campaign, try_to
from tests.learn.phrases import TimedWord, phrases_of, read_words
from tests.learn.report import page
from tests.learn.rows import Bounded, LearnRow, add_row, is_measured, read_rows
from tests.learn.seeds import SeedRun, add_run, read_runs
from tests.learn.training import FINETUNES, without_training
from wavlm.errors import BadDataError, UsageError
from wavlm.evaluation.examples import Example, Take
from wavlm.evaluation.results.facts import Amount
from wavlm.evaluation.tasks.trial_figures import ScoredTrials
from wavlm.evaluation.tasks.trials import Pairs
from wavlm.specs.system_file import read_finetune


def row(system: str = "asv-small", **fields: object) -> LearnRow:
    given = {
        "system": system,
        "task": "asv",
        "figure": "eer",
        "unit": "%",
        "is_lower_better": True,
        "trained": Bounded(value=0.2, low=0.18, high=0.22),
        "untrained": Bounded(value=0.3, low=0.25, high=0.35),
        "baseline": Bounded(value=0.4, low=0.35, high=0.45),
        "baseline_name": "mean spectrum",
        "over_untrained": Bounded(value=0.1, low=0.06, high=0.14),
        "over_baseline": Bounded(value=0.2, low=0.15, high=0.25),
        "data": "read speech",
        "reality": "real",
        "test": Amount(utterances=237, speakers=8, minutes=30.0),
        "intervals": "bootstrap over 237 utterances",
        "minutes": 2.0,
        "cpu_s": 100.0,
        "key": "k1",
        "commit": "abc",
        "date": "2026-11-30",
    }
    return LearnRow.model_validate(given | fields)


def test_a_system_beats_both_only_where_the_intervals_of_both_gains_lie_above_zero() -> None:
    assert row().beats_both
    assert not row(over_untrained=Bounded(value=0.1, low=-0.01, high=0.2)).beats_both
    assert not row(over_baseline=Bounded(value=-0.3, low=-0.4, high=-0.2)).beats_both
    assert not row(over_baseline=Bounded(value=0.5)).beats_both  # nobody knows how sure it is


def test_a_gain_is_drawn_in_pairs_so_that_hard_recordings_count_for_neither() -> None:
    """Rates differ by 0.05 in each of 40 recordings, and by up to 0.8 between them."""
    hard = np.linspace(0.1, 0.9, 40)
    ours, theirs = (np.stack([rates, np.ones(40)], axis=1) for rates in (hard, hard + 0.05))
    found = gain_of_sums(ours, theirs, [""] * 40, is_lower_better=True)
    assert found.value == pytest.approx(0.05)
    assert (found.low, found.high) == (pytest.approx(0.05), pytest.approx(0.05))
    assert gain_of_sums(ours, theirs, [""] * 40, is_lower_better=False).value == pytest.approx(-0.05)


def test_the_gain_of_verification_is_the_difference_of_two_error_rates_of_the_same_trials() -> None:
    """Four recordings of each of eight voices, with all trials of two recordings."""
    examples = [Example(f"r{number}", f"v{number // 4}", "", 0, Take(0, number), None) for number in range(32)]
    left, right = np.triu_indices(32, 1)
    pairs = Pairs(left, right, left // 4 == right // 4)
    rng = np.random.default_rng(3)
    good, bad = (pairs.is_target + spread * rng.normal(size=len(left)) for spread in (0.3, 3.0))
    scored = [ScoredTrials("", "", "", pairs, scores) for scores in (good, bad)]
    found = gain_of_trials(examples, *scored)
    rates = []
    for scores in (good, bad):
        false, hits, _ = roc_curve(pairs.is_target, scores)
        rates.append(brentq(lambda x, false=false, hits=hits: 1 - x - np.interp(x, false, hits), 0, 1))
    assert found.value == pytest.approx(rates[1] - rates[0], abs=0.03)  # where steps of the curve are cut differs
    assert found.low is not None
    assert 0 < found.low < found.value
    assert gain_of_trials(examples, scored[0], scored[0]) == Bounded(value=0.0, low=0.0, high=0.0)


def test_a_row_of_this_commit_and_spec_is_not_measured_again(tmp_path: Path) -> None:
    for one in (row(), row("ks-small"), row(cpu_s=7.0)):
        add_row(tmp_path, one)
    rows = read_rows(tmp_path)
    assert {it.system: it.cpu_s for it in rows} == {"ks-small": 100.0, "asv-small": 7.0}
    assert is_measured(rows, "asv-small", "k1", "abc")
    assert not is_measured(rows, "asv-small", "k2", "abc")  # another spec, model or corpus
    assert not is_measured(rows, "asv-small", "k1", "def")  # other code
    assert is_measured(rows, "asv-small", "k1", "")  # any code will do
    assert not is_measured(rows, "css-small", "k1", "abc")


def test_the_page_says_no_and_not_run() -> None:
    failed = row(
        "css-small",
        unit="dB",
        trained=Bounded(value=0.35, low=0.3, high=0.4),
        is_lower_better=False,
        over_baseline=Bounded(value=0.35, low=-0.3, high=0.4),
    )
    text = page([row(), failed], ("asr-small", "css-small", "asv-small"))
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    assert lines[0].startswith("| `asr-small` | not run |")
    assert "0.35 (0.30 to 0.40)" in lines[1]
    assert "**NO**" in lines[1]
    figures = "| 20.0 (18.0 to 22.0) | 30.0 (25.0 to 35.0) | 10.0 (6.0 to 14.0) "
    assert f"{figures}| 40.0 (35.0 to 45.0): mean spectrum | 20.0 (15.0 to 25.0) | yes |" in lines[2]
    assert len({line.count("|") for line in lines}) == 1
    assert "Do not beat both: css-small. Not run: asr-small." in text


def test_the_page_says_how_far_seeds_lie_apart(tmp_path: Path) -> None:
    runs = [
        SeedRun(system="asv-small", seed=seed, value=value, cpu_s=9.0, key=f"k{seed}", of=of, commit="abc")
        for seed, value, of in ((1, 0.22, "k1"), (2, 0.24, "k1"), (3, 0.9, "another spec"))
    ]
    for run in (*runs, runs[0]):
        add_run(tmp_path, run)
    lines = page([row(), row("ks-small")], ("asv-small", "ks-small"), read_runs(tmp_path)).splitlines()
    assert lines[-1] == "| `asv-small` | eer, % | 20.0, 22.0, 24.0 | 22.0 | 2.0 |"


def test_each_small_system_has_a_row() -> None:
    assert set(LEARNERS) == {path.stem for path in FINETUNES.glob("*-small.yaml")}
    assert len(CLUSTERINGS) == 6


@pytest.mark.parametrize("system", LEARNERS)
def test_a_system_without_training_is_the_same_but_for_its_updates(system: str) -> None:
    spec = read_finetune(FINETUNES / f"{system}.yaml")
    untrained = without_training(spec)
    (stage,) = untrained.stages
    assert (stage.updates, stage.frozen, stage.keep) == (1, "all", "last")
    weight = np.float32(1e-3)
    assert weight + np.float32(stage.peak_lr) == weight  # no weight moves
    assert untrained.model_copy(update={"stages": spec.stages}) == spec


def test_without_the_demos_champion_it_says_what_to_run_first(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"MODEL_UNKNOWN: .*wavlm-demo@champion.* run `make demo` first"):
        champion(tmp_path / "store", tmp_path)


def test_one_system_that_cannot_be_measured_does_not_keep_the_others_from_it(tmp_path: Path) -> None:
    def get(_: Campaign, name: str) -> LearnRow:
        if name == "css-small":
            raise BadDataError("TRAINER_FAILED", "it ended with 1")
        return row(name)

    campaign = Campaign(tmp_path, tmp_path, "abc")
    found = [try_to(get, campaign, name) for name in ("css-small", "asv-small")]
    assert [keep(tmp_path, one) for one in found] == [False, True]
    assert [one.system for one in read_rows(tmp_path)] == ["asv-small"]


def test_the_constant_answer_is_the_best_of_those_tried() -> None:
    texts = ["THE CAT", "THE DOG", "THE"]
    assert "".join(best_constant([list(text) for text in texts])) == "THE"
    long = [list("E" * 30), list("E" * 29)]
    assert set(best_constant(long)) <= {"E", " "}


def test_the_rate_of_recordings_is_that_of_their_seconds(tmp_path: Path) -> None:
    """10 s of one speaker and 10 s of two in turn, of whom one speaker finds 5 s: a quarter is confused."""
    (tmp_path / "talks").mkdir()
    for name in ("a", "b"):
        soundfile.write(tmp_path / "talks" / f"{name}.flac", np.zeros(160000), 16000)
    turns = {"a": [(0.0, 10.0, "x")], "b": [(0.0, 5.0, "x"), (5.0, 10.0, "y")]}
    lines = [
        f"SPEAKER {name} 1 {start:.1f} {end - start:.1f} <NA> <NA> {who} <NA> <NA>"
        for name, every in turns.items()
        for start, end, who in every
    ]
    (tmp_path / "talks.rttm").write_text("\n".join(lines) + "\n")
    recordings = known_recordings(tmp_path / "talks")
    assert [list(it.scored) for it in recordings] == [[(0.0, 10.0)]] * 2
    found = rate_of(errors_of(recordings, [[(0.0, 10.0, "one")]] * 2))
    assert found.value == pytest.approx(0.25)
    assert (found.low, found.high) == (pytest.approx(0.0), pytest.approx(0.5))


def test_phrases_are_cut_between_words_and_hold_all_of_them(tmp_path: Path) -> None:
    lines = ["utt_id\tstart_s\tend_s\tphone\tword", "u\t0.0\t0.5\tSIL\t<sil>"]
    lines += ["u\t0.5\t0.8\tDH\tthe(2)", "u\t0.8\t1.0\tAH\tthe(2)", "u\t1.0\t1.4\tK\tcat"]
    lines += ["u\t1.4\t1.8\tSIL\t[NOISE]", "u\t1.8\t2.6\tS\tsat", "u\t2.6\t2.9\tD\tdown"]
    (tmp_path / "phones.tsv").write_text("\n".join(lines) + "\n")
    words = read_words(tmp_path / "phones.tsv")["u"]
    assert words == [
        TimedWord("THE", 0.5, 1.0),
        TimedWord("CAT", 1.0, 1.4),
        TimedWord("SAT", 1.8, 2.6),
        TimedWord("DOWN", 2.6, 2.9),
    ]
    assert [(it.text, it.start_s, it.end_s) for it in phrases_of(words, 1.0)] == [
        ("THE CAT", 0.5, pytest.approx(1.6)),  # in the middle of the pause
        ("SAT DOWN", pytest.approx(1.6), 2.9),  # "SAT" alone lasts 1.0 s, and "DOWN" that is left over joins it
    ]
    assert [it.text for it in phrases_of(words[:1], 1.0)] == ["THE"]
