"""How many ranks a training gets when nobody says."""

from __future__ import annotations

import os

import pytest

from tasks.jobs import with_processes
from wavlm.execution.runtime import Runtime


@pytest.mark.parametrize(("cores", "groups", "expected"), [(2, 2, 2), (2, 1, 1), (8, 32, 8), (6, 32, 4), (3, 2, 2)])
def test_ranks_share_the_groups_of_an_update_evenly_and_are_no_more_than_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, groups: int, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert with_processes(Runtime(), groups).processes == expected


def test_a_number_that_was_asked_for_and_gpus_are_left_alone() -> None:
    assert with_processes(Runtime(processes=3), 2).processes == 3
    assert with_processes(Runtime(gpus=4), 8).processes == 0
