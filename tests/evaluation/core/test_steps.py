"""A fit of hours is followed: a fraction that grows within it, and a line of the log at least twice per minute."""

from __future__ import annotations

import logging
from itertools import pairwise

import pytest

from tests.evaluation.core.test_fit import FIT, TwoClasses, _sets
from wavlm.evaluation.fit.head import Sets, fit_head
from wavlm.evaluation.fit.steps import FitProgress, FitSteps


def test_each_update_and_each_batch_of_the_dev_part_is_reported(tmp_path) -> None:  # type: ignore[no-untyped-def]
    seen: list[FitProgress] = []
    made = _sets()
    sets = Sets(made.train, made.dev, made.features, made.size, seen.append)
    fit_head(TwoClasses(), sets, FIT, 1e-2, 3, tmp_path / "a")
    trained = [item.update for item in seen if item.scoring is None]
    assert trained == list(range(1, trained[-1] + 1))
    assert {item.updates for item in seen} == {FIT.updates}
    scored = [item for item in seen if item.scoring is not None]
    assert {item.update for item in scored} <= {n for n in trained if n % FIT.dev_every == 0 or n == FIT.updates}
    assert scored[-1].scoring == 1.0
    assert scored[0].best is None
    assert scored[-1].best is not None


def test_a_long_fit_is_never_silent_for_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now, shown, told = 0.0, [], []
    steps = FitSteps("ks of mine", 4, shown.append, lambda: now)
    for update in range(1, 2001):
        now += 0.1
        before = len(caplog.records)
        steps.report(FitProgress(1e-3, 0, update, 2000, None if update < 1000 else 0.5))
        told += [now] * (len(caplog.records) - before)
    assert len(told) == 6
    assert max(later - earlier for earlier, later in pairwise(told)) <= 31
    assert "ks of mine: fit 1 of 4, learning rate 0.001, seed 0: update 300 of 2000, not scored yet" in caplog.text
    assert "best dev score 0.5000" in caplog.text
    assert shown == sorted(shown)
    assert 0.24 < shown[-1] <= 0.25
    steps()
    assert shown[-1] == 0.25
