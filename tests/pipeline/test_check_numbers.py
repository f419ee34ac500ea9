"""Numbers of a recipe at the very edge of what works."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tasks.conftest import recipe_of
from wavlm.errors import CodedError
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.amounts import Sum
from wavlm.pipeline.check import models
from wavlm.pipeline.check.wanted import Remark, Wanted
from wavlm.pipeline.plan import plan
from wavlm.pipeline.store import Store

RECIPE = recipe_of(None)  # 50 clusters on MFCC and on a layer; four micro-batches an update


def wanted(tmp_path: Path, **runtime: int) -> Wanted:
    return Wanted(RECIPE, plan(RECIPE), Store(tmp_path), Runtime(**runtime))


@pytest.mark.parametrize(
    ("frames_of_mfcc", "refused"), [(50, ["layer2-k50"]), (49, ["mfcc-k50", "layer2-k50"]), (100, []), (99, [])]
)
def test_a_codebook_needs_a_frame_per_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames_of_mfcc: int, refused: list[str]
) -> None:
    """100 frames a second of MFCC are 50 of a layer, and half of 99 is taken for 50."""
    monkeypatch.setattr(models, "hours_of", lambda *_: Sum(frames_of_mfcc / 100 / 3600))
    found = [str(item) for item in models.check_sample(wanted(tmp_path))]
    assert len(found) == len(refused)
    for text, name in zip(found, refused, strict=True):
        assert text.startswith("TOO_FEW_FRAMES")
        assert f"at 50 clusters of {name}" in text


@pytest.mark.parametrize("runtime", [{"gpus": 3}, {"processes": 3}, {"gpus": 8}])
def test_ranks_that_cannot_share_an_update_are_refused(tmp_path: Path, runtime: dict[str, int]) -> None:
    (option,) = runtime
    found = list(models.check_ranks(wanted(tmp_path, **runtime)))
    assert len(found) == 2
    for number, item in enumerate(found, 1):
        assert isinstance(item, CodedError)
        assert str(item) == (
            f"RANKS: 4 micro-batches per update cannot be shared evenly by {runtime[option]}; at --{option}, "
            f"iteration {number}; choose one of 1, 2, 4"
        )


@pytest.mark.parametrize(
    ("runtime", "at"),
    [({"nodes": 3}, "--processes with --nodes 3"), ({"nodes": 2, "gpus": 4}, "--gpus with --nodes 2")],
)
def test_ranks_of_all_machines_count(tmp_path: Path, runtime: dict[str, int], at: str) -> None:
    found = [str(item) for item in models.check_ranks(wanted(tmp_path, **runtime))]
    ranks = runtime["nodes"] * runtime.get("gpus", 1)
    assert [f"cannot be shared evenly by {ranks}; at {at}, iteration" in text for text in found] == [True, True]


def test_ranks_that_can_share_it_are_a_remark_and_none_are_no_question(tmp_path: Path) -> None:
    found = list(models.check_ranks(wanted(tmp_path, gpus=4)))
    assert [item.text for item in found if isinstance(item, Remark)] == [
        f"iteration {number}: 4 micro-batches per update for 4 ranks" for number in (1, 2)
    ]
    assert list(models.check_ranks(wanted(tmp_path))) == []
