"""Goals, what a newer figure replaces, the table, and what a time is taken of."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import results
from benchmarks.harness import (
    Claim,
    Figure,
    NotTheSameError,
    Timing,
    commit,
    compare,
    device_name,
    find_missing,
    is_met,
    number,
    parse_goal,
    require_same,
)

HEAD = Figure("head.speedup", 422.0, "x", "the cosine head", ">= 100", True, "cpu: 2 cores", "abc")


@pytest.mark.parametrize(
    ("value", "goal", "expected"),
    [
        (3.0, ">= 3", True),
        (2.999, ">= 3", False),
        (0.45, "<= 0.45", True),
        (0.46, "<=0.45", False),
        (0.2, None, None),
        (None, ">= 3", None),
        (float("nan"), ">= 3", False),
        (float("nan"), "<= 3", False),
    ],
)
def test_a_goal_is_met_up_to_its_bound(value: float | None, goal: str | None, expected: bool | None) -> None:
    assert is_met(value, goal) is expected


@pytest.mark.parametrize("goal", ["3", "> 3", "== 3", ">= three", ">= 3 x", ">= -1", ""])
def test_a_goal_of_another_form_is_refused_also_without_a_value(goal: str) -> None:
    with pytest.raises(ValueError, match="is not like"):
        is_met(None, goal)


def test_a_goal_has_a_sign_and_a_number() -> None:
    assert parse_goal(">= 1.4") == (">=", 1.4)
    assert parse_goal("<=100") == ("<=", 100.0)


def test_a_claim_has_the_goal_of_the_kind_of_device_it_is_measured_on() -> None:
    claim = Claim("step.speedup", "x", "transformers", cpu=">= 1.3", cuda=">= 3")
    assert claim.goal("cpu") == ">= 1.3"
    assert claim.goal("cuda") == claim.goal("cuda:1") == ">= 3"
    figure = claim.figure(1.25, "cpu", "loaded")
    assert (figure.value, figure.goal, figure.met, figure.note) == (1.25, ">= 1.3", False, "loaded")
    assert figure.device == device_name("cpu")
    assert figure.commit == commit()
    assert claim.skip("cpu", "transformers cannot be imported").met is None


def test_the_newest_figure_of_a_name_and_device_stays(tmp_path: Path) -> None:
    elsewhere = replace(HEAD, device="some GPU", value=99.0)
    newer = replace(HEAD, value=430.0, commit="def")
    other = replace(HEAD, name="head.other")
    path = tmp_path / "results.jsonl"
    assert results.read(path) == []
    results.write([HEAD, elsewhere], path)
    results.write(results.merge_figures(results.read(path), [newer, other]), path)
    assert results.read(path) == [newer, elsewhere, other]


def test_a_measured_figure_is_not_replaced_by_a_skipped_one() -> None:
    skip = replace(HEAD, value=None, met=None, note="no such peer")
    assert results.merge_figures([HEAD], [skip]) == [HEAD]
    assert results.merge_figures([skip], [HEAD]) == [HEAD]
    later = replace(skip, note="still none")
    assert results.merge_figures([skip], [later]) == [later]


def test_a_table_follows_the_claims_and_says_what_no_gpu_has_measured() -> None:
    claims = [
        Claim("step.mfu", "", cuda=">= 0.45", devices=("cuda",)),
        Claim("step.speedup", "x", "its peer", devices=("cpu",)),
        Claim("head.speedup", "x", "the cosine head", cpu=">= 100", devices=("cpu",)),
    ]
    missed = replace(HEAD, value=12345.6, met=False, note="a | b")
    unmeasured = replace(HEAD, name="step.speedup", value=None, met=None, note="no peer")
    lines = results.tables([missed, unmeasured], claims).splitlines()
    assert lines[0] == "### On cpu: 2 cores"
    assert lines[2].startswith("| figure | value | goal |")
    assert lines[4] == "| step.speedup |  | >= 100 |  | the cosine head | abc | no peer |"
    assert lines[5].startswith("| head.speedup | 12,300 x | >= 100 | **no** | the cosine head |")
    assert lines[5].endswith("| a / b |")
    assert lines[7] == "### On a GPU"
    assert lines[11:] == ["| step.mfu |  | >= 0.45 |  |  |  | not measured: no GPU at hand |"]


def test_what_a_gpu_has_measured_stands_in_a_table_of_its_own() -> None:
    measured = replace(HEAD, name="step.mfu", device="some GPU", goal=">= 0.45", value=0.5)
    text = results.tables([measured, HEAD], [Claim("step.mfu", "", devices=("cuda",))])
    first, second = text.split("### On some GPU")
    assert "head.speedup" in first
    assert "| step.mfu | 0.5 x | >= 0.45 | yes |" in second
    assert "not measured" not in text


def test_only_the_table_of_a_document_is_rewritten() -> None:
    document = f"before\n{results.BEGIN}\nold\n{results.END}\nafter\n"
    once = results.replace_table(document, "| new |")
    assert once == f"before\n{results.BEGIN}\n| new |\n{results.END}\nafter\n"
    assert results.replace_table(once, "| new |") == once
    with pytest.raises(ValueError, match="expected one"):
        results.replace_table("no markers", "| new |")


def test_numbers_keep_three_digits_that_matter() -> None:
    found = [number(value) for value in (0.012345, 1.0, 4.567, 421.6, 1234.5, 17_180.0)]
    assert found == ["0.0123", "1", "4.57", "422", "1,230", "17,200"]


def test_functions_are_warmed_up_and_called_in_turn_from_both_ends() -> None:
    calls: list[str] = []
    functions = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    found = compare(functions, rounds=3, warmup=2, repeat=1)
    assert "".join(calls) == "aabb" + "ab" + "ba" + "ab"
    assert [len(found[name].seconds) for name in "ab"] == [3, 3]


def test_a_time_is_one_call_of_process_time_and_sleep_takes_none() -> None:
    def busy() -> None:
        end = time.process_time() + 0.02
        while time.process_time() < end:
            pass

    found = compare({"busy": busy, "asleep": lambda: time.sleep(0.02)}, rounds=3, repeat=2)
    assert 0.02 <= found["busy"].median < 0.03
    assert found["asleep"].median < 0.01


def test_the_median_of_a_timing_and_its_spread() -> None:
    timing = Timing((1.0, 5.0, 2.0))
    assert timing.median == 2.0
    assert timing.spread == 2.0


def test_a_comparison_of_unlike_results_is_refused() -> None:
    theirs = torch.tensor([1.0, -10.0])
    require_same("output", torch.tensor([1.0, -10.001]), theirs, 1e-3)
    with pytest.raises(NotTheSameError, match="output: relative difference"):
        require_same("output", torch.tensor([2.0, -10.0]), theirs, 1e-3)
    with pytest.raises(NotTheSameError):
        require_same("output", torch.tensor([float("nan"), 0.0]), theirs, 1e-3)


def test_a_peer_that_is_not_installed_is_a_reason_not_a_crash() -> None:
    assert find_missing("torch", "json") is None
    assert "no_such_peer" in str(find_missing("torch", "no_such_peer"))
