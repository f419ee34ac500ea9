"""A suite of two shipped evaluations on one corpus, whatever the shipped suites have besides."""

from __future__ import annotations

from pathlib import Path

from wavlm.specs import SuiteSpec
from wavlm.specs.evaluation import FbankBaseline, RandomBaseline
from wavlm.specs.yaml import find_suite


def two_tasks() -> SuiteSpec:
    """Words and voices of `kajongg-en`, under the name `demo`."""
    evaluations = [find_suite(Path(name)).evaluations[0] for name in ("ks-kajongg", "sid-kajongg")]
    baselines = FbankBaseline(type="fbank"), RandomBaseline(type="random")
    return SuiteSpec(name="demo", description="two tasks", evaluations=tuple(evaluations), baselines=baselines)
