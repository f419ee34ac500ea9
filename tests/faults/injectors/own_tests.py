"""Promise: that of tests which inject a fault themselves. A point is one test function.

Each case counts as one fault, or as many as it says in pytest's property `faults`. Options: `tests`, as
`file::function`; `without`, the cases in which nothing is wrong.
"""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from functools import partial
from pathlib import Path

from tests.faults.catalogue import Row
from tests.faults.results import ROOT
from tests.faults.scene import Scene
from tests.faults.trial import promise, run_forked

LIMIT_SECONDS = 900.0


def count(scene: Scene, row: Row) -> int:
    """One point for each test function."""
    return len(tests_of(row))


def tests_of(row: Row) -> list[str]:
    """`file::function`, as pytest has it."""
    names = row.options["tests"]
    assert isinstance(names, list)
    return names


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Run all cases of one test function."""
    name, report = tests_of(row)[point - 1], scene.folder / "junit.xml"
    report.unlink(missing_ok=True)
    done = run_forked(partial(_pytest, row, name, report), scene.folder / "log", limit_seconds=LIMIT_SECONDS)
    promise(done.code == 0, f"{name}: {done.said[-600:]}")
    cases = ET.parse(report).getroot().iter("testcase")  # noqa: S314 - pytest has just written it
    faults = [faults_of(case) for case in cases if case.find("skipped") is None]
    promise(faults, f"{name}: no case ran")
    return sum(faults), f"{name}: {len(faults)} cases"


def faults_of(case: ET.Element) -> int:
    """How many faults a case of pytest's report has injected."""
    found = case.find("properties/property[@name='faults']")
    return 1 if found is None else int(found.attrib["value"])


def _pytest(row: Row, name: str, report: Path) -> None:
    import pytest

    os.chdir(ROOT)
    os.environ.pop("LD_PRELOAD", None)  # what tests start is not counted
    quick = ["-q", "-p", "no:cacheprovider", "--tb=short", "--assert=plain", f"--junitxml={report}"]
    quick += ["-o", "junit_family=xunit1"]  # xunit2 has no properties of cases
    without = row.options.get("without", [])
    assert isinstance(without, list)
    code = pytest.main([name, *quick, *(f"--deselect={case}" for case in without)])
    if code:
        raise SystemExit(int(code))
