"""Numbers of a recipe at the very edge of what works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from tests.tasks.conftest import recipe_of
from tests.tiny_specs import tiny_network
from wavlm.errors import CodedError
from wavlm.evaluation.heads.embedding import least_frames
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.amounts import Sum
from wavlm.pipeline.artifacts import Codebook, Finetune, Mixtures
from wavlm.pipeline.check import models
from wavlm.pipeline.check.wanted import Remark, Wanted
from wavlm.pipeline.plan import plan
from wavlm.pipeline.store import Store
from wavlm.specs import ExternalLabelsSpec, NetworkSpec, Recipe
from wavlm.specs.evaluation import RandomBaseline
from wavlm.specs.frames import FrameGrid
from wavlm.specs.heads import HeadSpec
from wavlm.specs.system_file import read_finetune

_HEAD: TypeAdapter[Any] = TypeAdapter(HeadSpec)
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


@pytest.mark.parametrize(
    ("head", "seconds", "refused"),
    [
        # WINDOW_SAMPLES 400 and a hop of 320: 16 frames of a model are 5,200 samples, 0.325 s
        ({"type": "xvector"}, 0.325, False),
        ({"type": "xvector"}, 0.32, True),
        ({"type": "ecapa", "channels": 64}, 0.045, False),
        ({"type": "ecapa", "channels": 64}, 0.044, True),
    ],
)
def test_crops_that_are_too_short_for_a_head_are_refused_before_any_work(
    tmp_path: Path, head: dict[str, object], seconds: float, refused: bool
) -> None:
    spec = read_finetune("asv-small")
    changed = {"head": _HEAD.validate_python(head), "baseline": RandomBaseline(type="random", network=tiny_network())}
    stages = tuple(it.model_copy(update={"crop_seconds": seconds, "head": {}}) for it in spec.stages)
    system = Finetune(spec.model_copy(update={"stages": stages, **changed}), changed["baseline"], ())  # type: ignore[arg-type]
    found = [str(it) for it in models.check_stretches(Wanted(RECIPE, (system,), Store(tmp_path), Runtime()))]
    assert len(found) == refused * len(stages)
    assert all(it.startswith("CROP_SHORT") and "raise crop_seconds" in it for it in found)
    assert models.LEAST_FRAMES[system.spec.head.type] == least_frames(system.spec.head)  # type: ignore[arg-type]


@pytest.mark.parametrize(("rate_hz", "is_refused"), [(None, False), (24000, True)])
def test_a_system_on_a_model_of_another_frame_rate_is_refused_before_any_work(
    tmp_path: Path, rate_hz: int | None, *, is_refused: bool
) -> None:
    baseline = RandomBaseline(type="random", network=tiny_network(sample_rate_hz=rate_hz))
    system = Finetune(read_finetune("asv-small").model_copy(update={"baseline": baseline}), baseline, ())
    found = [str(it) for it in models.check_system_frames(Wanted(RECIPE, (system,), Store(tmp_path), Runtime()))]
    assert len(found) == is_refused
    assert all(it.startswith("SAMPLE_RATE: asv-small stands on a model") and "(75 per second)" in it for it in found)


def at_rate(sample_rate_hz: int, network: NetworkSpec, codebook: object = None) -> Recipe:
    """The recipe at another rate, with this network. codebook: of its first iteration, which is then the only one."""
    iterations = [it.model_copy(update={"network": network}) for it in RECIPE.iterations]
    if codebook:
        iterations = [iterations[0].model_copy(update={"codebook": codebook})]
    shards = RECIPE.shards.model_copy(update={"sample_rate_hz": sample_rate_hz})
    changed = {"shards": shards, "noise_shards": None, "iterations": tuple(iterations)}
    return RECIPE.model_copy(update=changed)


def test_a_network_for_another_sample_rate_than_the_shards_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    recipe = at_rate(24000, tiny_network())
    found = list(models.check_frames(Wanted(recipe, plan(recipe), Store(tmp_path), Runtime())))
    assert len(found) == 2
    for item in found:
        assert isinstance(item, CodedError)
        assert "makes frames of 400 samples every 320 at 16000 Hz (50 per second), its shards have 24000 Hz" in str(
            item
        )
        assert "take strides whose product is 480, for 50 frames per second" in str(item)
        assert "or give the network sample_rate_hz 24000" in str(item)


def test_frames_of_another_rate_are_in_the_keys_of_labels_and_mixtures_and_in_a_remark(tmp_path: Path) -> None:
    fast, usual = tiny_network(sample_rate_hz=24000), tiny_network()
    recipe = at_rate(24000, fast)
    found = list(models.check_frames(Wanted(recipe, plan(recipe), Store(tmp_path), Runtime())))
    assert [getattr(item, "text", "") for item in found] == [
        f"iteration {number}: frames of 400 samples every 320 at 24000 Hz (75 per second); lengths of masks and of "
        "positions are in frames"
        for number in (1, 2)
    ]
    of = {
        name: [it for it in plan(made) if isinstance(it, Codebook | Mixtures)]
        for name, made in (("75 Hz", recipe), ("50 Hz", at_rate(24000, usual)), ("16 kHz", RECIPE))
    }
    grid = FrameGrid(sample_rate_hz=24000, window_samples=400, hop_samples=320)
    assert {it.grid for it in of["75 Hz"]} == {grid}
    assert {it.grid for it in (*of["50 Hz"], *of["16 kHz"])} == {None}
    for ours, theirs in zip(of["75 Hz"], of["50 Hz"], strict=True):
        assert ours.key != theirs.key


@pytest.mark.parametrize(("rate_hz", "is_refused"), [(50, True), (75, False), (150, False)])
def test_external_labels_of_another_rate_than_the_frames_are_refused_before_any_work(
    tmp_path: Path, rate_hz: int, is_refused: bool
) -> None:
    spec = ExternalLabelsSpec(type="external", file="x.npz", sha256="0" * 64, num_clusters=9, rate_hz=rate_hz)
    recipe = at_rate(24000, tiny_network(sample_rate_hz=24000), spec)
    found = list(models.check_frames(Wanted(recipe, plan(recipe), Store(tmp_path), Runtime())))
    errors = [str(item) for item in found if isinstance(item, CodedError)]
    assert len(errors) == is_refused
    assert all("50 labels per second, expected 75 or 150: " in text for text in errors)
