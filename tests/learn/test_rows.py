"""The machinery of `make learn`: what counts as beating, what is measured again, trivial answers and the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.learn.__main__ import champion, keep
from tests.learn.baselines import best_constant
from tests.learn.clustering import CLUSTERINGS, known_recordings, rate_of
from tests.learn.measure import LEARNERS, Campaign, try_to
from tests.learn.report import page
from tests.learn.rows import Bounded, LearnRow, add_row, is_measured, read_rows
from tests.learn.training import FINETUNES, without_training
from wavlm.errors import BadDataError, UsageError
from wavlm.evaluation.results.facts import Amount
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


def test_a_system_beats_both_only_where_no_interval_touches_its_own() -> None:
    assert row().beats_both
    assert not row(untrained=Bounded(value=0.3, low=0.22, high=0.35)).beats_both
    assert not row(baseline=Bounded(value=0.1, low=0.05, high=0.15)).beats_both
    assert not row(baseline=Bounded(value=0.9)).beats_both  # nobody knows how sure it is
    higher = {"is_lower_better": False, "trained": Bounded(value=3.0, low=2.0, high=4.0)}
    assert row(**higher).beats_both
    assert not row(**higher, untrained=Bounded(value=9.0, low=8.0, high=9.5)).beats_both


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
    failed = row("css-small", unit="dB", trained=Bounded(value=0.35, low=0.3, high=0.4), is_lower_better=False)
    text = page([row(), failed], ("asr-small", "css-small", "asv-small"))
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    assert lines[0].startswith("| `asr-small` | not run |")
    assert "0.35 (0.30 to 0.40)" in lines[1]
    assert "**NO**" in lines[1]
    assert "| 20.0 (18.0 to 22.0) | 30.0 (25.0 to 35.0) | 40.0 (35.0 to 45.0): mean spectrum | yes |" in lines[2]
    assert len({line.count("|") for line in lines}) == 1
    assert "Do not beat both: css-small. Not run: asr-small." in text


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
    found = rate_of(recordings, [[(0.0, 10.0, "one")]] * 2)
    assert found.value == pytest.approx(0.25)
    assert (found.low, found.high) == (pytest.approx(0.0), pytest.approx(0.5))
