"""The recipes of speaker verification make the rows of the published table, with the numbers of their sources."""

from __future__ import annotations

import pytest

from tests.data_specs.golden import SPECS
from wavlm.specs.finetune import FinetuneSpec
from wavlm.specs.schedules import ExponentialRate, SgdSpec
from wavlm.specs.speakers import EcapaHead, SpeakerVerification, TrialScoring
from wavlm.specs.stages import FinetuneStage
from wavlm.specs.system_file import read_finetune

RECIPES = {path.stem: read_finetune(path) for path in sorted((SPECS / "finetunes").glob("asv-*.yaml"))}
BIG = [name for name in RECIPES if name != "asv-small"]
RECORDINGS = 1_092_009  # of VoxCeleb2's dev set


def loss_of(recipe: FinetuneSpec, stage: int) -> tuple[object, ...]:
    head = recipe.head_in(stage)
    assert isinstance(head, EcapaHead)
    return head.loss.margin[-1][1], head.loss.top_k, head.loss.penalty[-1][1], head.loss.scale


def epochs_of(stage: FinetuneStage) -> float:
    """How often each recording is there, at three speeds together as often as at one in the source."""
    assert stage.crop_seconds is not None
    return stage.updates * stage.batch_seconds / stage.crop_seconds / RECORDINGS


@pytest.mark.parametrize("name", BIG)
def test_all_six_lists_are_scored_by_all_methods(name: str) -> None:
    task = RECIPES[name].task
    assert isinstance(task, SpeakerVerification)
    assert sorted(task.lists) == sorted(f"vox1-{kind}{end}" for kind in "oeh" for end in ("", "-cleaned"))
    assert task.scoring == TrialScoring(per_speaker=20)
    assert task.scoring.calibration == "train"
    verification = RECIPES[name].corpora[1]
    assert len(verification.layout.trials) == 6  # type: ignore[union-attr]
    assert {corpus.name for corpus in RECIPES[name].corpora} == {"voxceleb2-dev", "voxceleb1-verification"}


@pytest.mark.parametrize("name", BIG)
def test_the_first_stage_is_the_authors(name: str) -> None:
    """20 epochs of 1,024 stretches of 3 s; rate 0.64 to 4e-4; the margin is 0.2 after two epochs (unilm issue 695)."""
    recipe = RECIPES[name]
    first = recipe.stages[0]
    assert first.frozen == "all"
    assert first.batch_seconds == 1024 * 3
    assert epochs_of(first) == pytest.approx(20, rel=1e-3)
    assert isinstance(first.schedule, ExponentialRate)
    assert first.peak_lr * first.schedule.final_scale == pytest.approx(4e-4)
    assert first.optimizer == SgdSpec(type="sgd", momentum=0.9, weight_decay=4e-4)
    assert loss_of(recipe, 0) == (0.2, 5, 0.1, 32.0)
    head = recipe.head_in(0)
    assert isinstance(head, EcapaHead)
    assert head.loss.margin[1] == (pytest.approx(2 * RECORDINGS / 1024, abs=2), 0.0)


def test_rows_differ_in_their_stages_and_models_alone() -> None:
    names = {"asv-ecapa-fbank": 1, "asv-frozen": 1, "asv-frozen-base-plus": 1, "asv-joint": 2, "asv-large-margin": 3}
    assert {name: len(RECIPES[name].stages) for name in BIG} == names
    assert {name: RECIPES[name].model for name in BIG} == {
        "asv-ecapa-fbank": "fbank",
        "asv-frozen": "wavlm-large",
        "asv-frozen-base-plus": "wavlm-base-plus",
        "asv-joint": "wavlm-large",
        "asv-large-margin": "wavlm-large",
    }
    assert RECIPES["asv-large-margin"].stages[:2] == RECIPES["asv-joint"].stages
    assert len({RECIPES[name].mix for name in BIG}) == 1


def test_the_last_stages_are_wespeakers() -> None:
    recipe = RECIPES["asv-large-margin"]
    joint, large = recipe.stages[1:]
    assert (joint.frozen, large.frozen) == ("none", "none")
    assert epochs_of(joint) == pytest.approx(20, rel=1e-3)
    assert epochs_of(large) == pytest.approx(10, rel=1e-3)
    assert (joint.crop_seconds, large.crop_seconds) == (3.0, 6.0)
    assert (joint.peak_lr, large.peak_lr) == (1e-3, 1e-4)
    assert loss_of(recipe, 1) == (0.2, 5, 0.1, 32.0)
    assert loss_of(recipe, 2) == (0.5, 0, 0.0, 32.0)
    centers = [head.loss.sub_centers for head in map(recipe.head_in, range(3)) if isinstance(head, EcapaHead)]
    assert centers == [3, 3, 3]  # weights of one shape in all stages
    task = recipe.task
    assert isinstance(task, SpeakerVerification)
    assert task.chunk_seconds >= 6.0  # no stretch is cut again


def test_the_small_recipe_ends_with_a_large_margin_and_runs_on_filter_banks() -> None:
    recipe = RECIPES["asv-small"]
    assert recipe.model == "fbank"
    assert [stage.frozen for stage in recipe.stages] == ["all", "all"]  # filter banks have nothing to train
    assert loss_of(recipe, 1)[0] == 0.5
