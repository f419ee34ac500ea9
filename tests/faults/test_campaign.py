"""The campaign itself: a fault that is not survived is seen, and the page says what was tried and no more."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.faults.campaign import spread
from tests.faults.catalogue import Catalogue, Goal, Row, read_catalogue
from tests.faults.events import VARIABLE, Action, Control, Fault, preloaded
from tests.faults.injectors.own_tests import faults_of
from tests.faults.lost_power import Event, Unflushed, lose_content, lose_names, read_log
from tests.faults.report import page
from tests.faults.results import ROOT, Result, Results, share_of
from tests.field.chain import CASES
from tests.sealed import DAMAGES

# Writes a file in place, then one as `wavlm.storage.files` does.
WRITER = """
import os, sys
folder = sys.argv[1]
with open(f"{folder}/in-place", "wb") as file:
    file.write(b"x" * 10_000)
with open(f"{folder}/.new", "wb") as file:
    file.write(b"y" * 10_000)
    file.flush()
    os.fsync(file.fileno())
os.rename(f"{folder}/.new", f"{folder}/renamed")
"""
WRITER_EVENTS = 6  # two openings, two writes, a flush, a rename


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {**os.environ, **preloaded(tmp_path_factory.mktemp("shim"))}


def write(environment: dict[str, str], folder: Path, fault: Fault) -> tuple[subprocess.CompletedProcess[str], Control]:
    """Run the writer with a fault below its folder."""
    control = Control(Path(environment[VARIABLE]))
    folder.mkdir()
    with control.armed(fault, folder, folder.parent / f"{folder.name}.log"):
        done = subprocess.run(
            [sys.executable, "-c", WRITER, folder], env=environment, capture_output=True, text=True, check=False
        )
    return done, control


def test_every_event_can_be_killed_at_and_what_is_half_is_seen(environment: dict[str, str], tmp_path: Path) -> None:
    done, control = write(environment, tmp_path / "whole", Fault())
    assert (done.returncode, control.count, control.has_fired) == (0, WRITER_EVENTS, False)
    sizes = []
    for number in range(1, WRITER_EVENTS + 1):
        folder = tmp_path / f"half-{number}"
        done, control = write(environment, folder, Fault(Action.HALF, number))
        assert done.returncode == -9
        assert control.has_fired
        sizes.append({path.name: path.stat().st_size for path in folder.iterdir()})
    assert sizes[:2] == [{}, {"in-place": 5000}]
    assert sizes[3] == {"in-place": 10_000, ".new": 5000}
    assert all("renamed" not in found for found in sizes)


@pytest.mark.parametrize(
    ("action", "left"),
    [(Action.FULL, set()), (Action.NO_NAMES, {"in-place"}), (Action.READ_ONLY, set()), (Action.FAIL, set())],
)
def test_a_disk_that_refuses_is_an_error_of_the_writer(
    environment: dict[str, str], tmp_path: Path, action: Action, left: set[str]
) -> None:
    at = 2 if action is Action.NO_NAMES else 1
    done, _ = write(environment, tmp_path / "out", Fault(action, at, error=errno.EDQUOT))
    assert done.returncode == 1
    assert f"[Errno {errno.EDQUOT}]" in done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == left


def test_a_loss_of_power_takes_what_was_not_flushed(environment: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    done, _ = write(environment, folder, Fault())
    assert done.returncode == 0
    unflushed = Unflushed()
    for event in read_log(tmp_path / "out.log"):
        unflushed.add(event)
    assert lose_content(unflushed) == 1
    assert {path.name: path.stat().st_size for path in folder.iterdir()} == {"in-place": 0, "renamed": 10_000}
    assert lose_names(unflushed) == 3  # two were made, one of them moved: the folder was never flushed
    assert not list(folder.iterdir())


def test_what_is_flushed_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345678")
    unflushed = Unflushed()
    for event in (
        Event("open", -1, path, Path()), Event("write", 0, path, Path()), Event("flush", 4, path, Path()),
        Event("flush", -1, tmp_path, Path()), Event("write", 4, path, Path()),
    ):  # fmt: skip
        unflushed.add(event)
    assert lose_names(unflushed) == 0
    assert lose_content(unflushed) == 1
    assert path.read_bytes() == b"1234"


def row(name: str, goal: str = "G1") -> Row:
    return Row(id=name, fault=f"the fault {name}", stage="labels", promise="survived", inject="kill", goal=goal, full=9)


def result(name: str, point: int, verdict: str = "held") -> Result:
    return Result(name, point, 40, verdict, 1, "what was seen", 1.5, "2026-11-30", "abc1234")  # type: ignore[arg-type]


def test_the_page_says_what_failed_and_what_was_not_tried(tmp_path: Path) -> None:
    results = Results(tmp_path / "abc.jsonl")
    for item in (result("good", 1), result("good", 2), result("bad", 1), result("bad", 7, "FAILED")):
        results.add(item)
    goals = (Goal(id="G1", points=2, text="kills"), Goal(id="G2", points=2, text="resumes"),
             Goal(id="G3", points=9, text="flips"))  # fmt: skip
    catalogue = Catalogue(goals=goals, rows=(row("good", "G2"), row("bad"), row("new"), row("later", "G3")))
    text = page(catalogue, Results(results.path).by_row())  # as read from the disk
    lines = {name: next(line for line in text.splitlines() if f"| the fault {name} |" in line)
             for name in ("good", "bad", "new")}  # fmt: skip
    assert "| 2 (at 2 of 40) | survived | held | G2 | 2026-11-30 | abc1234 | 3 |" in lines["good"]
    assert "**FAILED** (1 of 2)" in lines["bad"]
    assert "| 0 | survived | not tried |" in lines["new"]
    assert "- bad, point 7: what was seen" in text
    assert "| G1 | 2 | 2 | 1 | no, 1 rows not tried | kills |" in text
    assert "| G2 | 2 | 2 | 0 | yes | resumes |" in text
    assert "| G3 | 9 | 0 | 0 | not tried | flips |" in text


def test_campaigns_side_by_side_share_the_points() -> None:
    points = [(name, point) for name in ("one", "two") for point in range(1, 101)]
    shares = [{item for item in points if share_of(*item, 2) == number} for number in (1, 2)]
    assert shares[0] | shares[1] == set(points)
    assert not shares[0] & shares[1]
    assert all(len(item) > 70 for item in shares)


def test_the_last_trial_of_a_point_counts(tmp_path: Path) -> None:
    results = Results(tmp_path / "abc.jsonl")
    results.add(result("one", 1, "FAILED"))
    results.add(result("one", 1))
    assert results.has("one", 1)
    assert [item.verdict for item in Results(results.path).by_row()["one"]] == ["held"]


def test_the_catalogue_names_injectors_and_tests_that_are_there() -> None:
    for item in read_catalogue().rows:
        assert (ROOT / f"tests/faults/injectors/{item.inject}.py").is_file(), item.id
        for name in item.options.get("tests", []):  # type: ignore[union-attr]
            file, _, function = str(name).partition("::")
            assert f"def {function}(" in (ROOT / file).read_text(), name


def test_every_file_that_a_stage_reads_is_damaged_in_each_way() -> None:
    rows = {(row.options["damage"], row.options["file"]) for row in read_catalogue().rows if row.inject == "damage"}
    assert rows == {(damage.__name__, name) for damage in DAMAGES for name, _, _ in CASES}


def test_points_are_spread_over_a_stage() -> None:
    assert spread(9, 3) == [1, 5, 9]
    assert spread(9, 1) == [5]
    assert spread(2, 40) == [1, 2]
    assert spread(0, 2) == [1, 2]  # seeds: there are as many as one likes


def test_a_test_says_how_many_faults_it_injects() -> None:
    silent, telling = ET.Element("testcase"), ET.Element("testcase")
    ET.SubElement(ET.SubElement(telling, "properties"), "property", name="faults", value="37")
    assert (faults_of(silent), faults_of(telling)) == (1, 37)


@pytest.mark.full
def test_a_few_points_of_each_fault_hold(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.faults", "--tier", "fast", "--work", tmp_path / "work"]
    done = subprocess.run(
        [*command, "--results", tmp_path / "tried.jsonl"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    found = [item for items in Results(tmp_path / "tried.jsonl").by_row().values() for item in items]
    assert done.returncode == 0, [item for item in found if item.verdict == "FAILED"] or done.stderr
    assert len(found) >= 40
