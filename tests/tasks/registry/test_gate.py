"""The gate: versions are compared only by what was measured alike, and what moves the champion is said."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from tasks.exchange import export_as
from tasks.register import register_model, sync
from tasks.registry.gate import comparable_tags, judge, measured_tags
from tasks.registry.lookup import promote, pull_model, show_model
from tasks.registry.versions import METRIC_TAG, PROBE_TAG, VALID_TAG, Version
from wavlm.execution import metrics
from wavlm.pipeline.plan import models, plan
from wavlm.specs import Contrastive, GateSpec, MaskedPrediction, Recipe, ScoresSpec
from wavlm.specs.training import MaskSpec
from wavlm.specs.yaml import read_recipe

if TYPE_CHECKING:
    from tests.tasks.conftest import BuiltStore

pytestmark = pytest.mark.filterwarnings("ignore:Logger 'tasks:UserWarning")

ROOT = Path(__file__).parents[3]
ALIKE = {PROBE_TAG: "p", VALID_TAG: "v", "codebook": "c"}
AUTO = GateSpec()
NAME = "WavLM-tiny"


def version(number: int, metrics: dict[str, float], **tags: str) -> Version:
    return Version("M", number, (), number, "k", "run", 0.0, "", {**ALIKE, **tags}, metrics)


def test_the_models_own_pnmi_decides_and_not_its_loss_or_its_teachers_labels() -> None:
    """Version 2 has better labels, which its teacher made, and a lower loss; its own layers say less."""
    old = version(1, {"probe/pnmi": 0.52, "labels/pnmi": 0.40, "valid/loss": 3.0})
    new = version(2, {"probe/pnmi": 0.47, "labels/pnmi": 0.55, "valid/loss": 2.0})
    assert not judge(AUTO, new, old).is_champion
    verdict = judge(AUTO, version(2, {"probe/pnmi": 0.53, "valid/loss": 9.0}), old)
    assert verdict.is_champion
    assert verdict.reason == "better: probe/pnmi 0.5300 against 0.5200 of M:1"
    assert not judge(AUTO, version(2, {"probe/pnmi": 0.52}), old).is_champion


def test_without_phones_the_loss_decides_where_both_predict_the_same_labels() -> None:
    old, better = version(1, {"valid/loss": 2.0}), version(2, {"valid/loss": 1.9})
    assert judge(AUTO, better, old).is_champion
    assert not judge(AUTO, version(2, {"valid/loss": 2.1}), old).is_champion
    # One of them has a PNMI: the loss is still measured alike.
    assert judge(AUTO, better, version(1, {"valid/loss": 2.0, "probe/pnmi": 0.5})).is_champion


@pytest.mark.parametrize(
    ("tags", "metrics", "reason"),
    [
        ({VALID_TAG: "w", "codebook": "d"}, {"valid/loss": 1.0}, "valid/loss of M:2 and M:1.*other codebooks"),
        ({VALID_TAG: "w"}, {"valid/loss": 1.0}, "other speech, crops, masks, seeds or loss weights"),
        ({PROBE_TAG: "q", VALID_TAG: "w"}, {"probe/pnmi": 0.9, "valid/loss": 1.0}, "other speech or other settings"),
        ({}, {}, "M:2 has no probe/pnmi; M:2 has no valid/loss"),
        ({}, {"labels/pnmi": 0.9}, r"M:2 has no probe/pnmi \(valid speech with timed phones and `probe`"),
    ],
)
def test_what_cannot_be_compared_moves_nothing_and_the_reason_is_said(
    tags: dict[str, str], metrics: dict[str, float], reason: str
) -> None:
    old = version(1, {"probe/pnmi": 0.5, "valid/loss": 2.0})
    verdict = judge(AUTO, version(2, metrics, **tags), old)
    assert not verdict.is_champion
    assert re.search(reason, verdict.reason), verdict.reason
    assert "wavlm models promote M:2" in verdict.reason


def test_versions_that_were_registered_without_the_tags_are_not_compared() -> None:
    bare = Version("M", 1, (), 1, "k", "run", 0.0, "", {}, {"probe/pnmi": 0.1, "valid/loss": 9.0})
    assert not judge(AUTO, version(2, {"probe/pnmi": 0.9, "valid/loss": 1.0}), bare).is_champion
    other = Version("M", 2, (), 2, "k", "run", 0.0, "", {}, {"probe/pnmi": 0.9, "valid/loss": 1.0})
    assert not judge(AUTO, other, bare).is_champion


def test_the_first_champion_has_a_metric_that_later_versions_can_be_compared_by() -> None:
    own, loss, nothing = version(1, {"probe/pnmi": 0.4}), version(1, {"valid/loss": 2.0}), version(1, {})
    for is_final in (False, True):
        assert judge(AUTO, own, None, is_final=is_final).is_champion
        assert not judge(AUTO, nothing, None, is_final=is_final).is_champion
    assert judge(AUTO, loss, None, is_final=True).is_champion
    early = judge(AUTO, loss, None, is_final=False)
    assert not early.is_champion
    assert "iterations to come" in early.reason
    assert judge(AUTO, own, own).reason == "the champion already"


def test_a_gate_that_names_a_metric_compares_by_nothing_else() -> None:
    old = version(1, {"probe/pnmi": 0.4, "valid/loss": 2.0})
    gate = GateSpec(metric="valid/loss", higher_is_better=False, min_improvement=0.1)
    assert judge(gate, version(2, {"probe/pnmi": 0.1, "valid/loss": 1.8}), old).is_champion
    assert not judge(gate, version(2, {"probe/pnmi": 0.9, "valid/loss": 1.95}), old).is_champion
    assert not judge(gate, version(2, {"probe/pnmi": 0.9}), old).is_champion


def test_a_quantiser_that_gives_one_code_makes_no_version_champion_although_its_loss_is_the_lowest(
    tmp_path: Path,
) -> None:
    """A constant code has the best loss and accuracy: all negatives equal the positive and are left out."""
    contrastive = Contrastive(type="contrastive")
    found = []
    for number, loss, accuracy, perplexity in ((1, 3.2, 0.4, 300.0), (2, 0.1, 1.0, 2.0)):
        values = {
            "loss": loss,
            "masked_accuracy": accuracy,
            "contrast_accuracy": accuracy,
            "hard_perplexity": perplexity,
        }
        line: metrics.MetricsRecord = {"update": 10, "time_unix": 1.0}
        line |= {f"valid/{name}": value for name, value in values.items()}
        (tmp_path / str(number)).mkdir()
        metrics.append(tmp_path / str(number) / metrics.METRICS_FILE, line)
        tags = measured_tags({}, tmp_path / str(number), contrastive)
        found.append(version(number, {name.removeprefix(METRIC_TAG): float(value) for name, value in tags.items()}))
    sound, collapsed = found
    verdict = judge(AUTO, collapsed, sound)
    assert not verdict.is_champion
    assert "M:2 has no valid/loss" in verdict.reason
    gate = GateSpec(metric="valid/hard_perplexity", higher_is_better=True)
    assert not judge(gate, collapsed, sound).is_champion
    assert judge(gate, sound, collapsed).is_champion


def test_the_quality_of_the_teachers_labels_makes_no_version_champion() -> None:
    gate = GateSpec(metric="labels/pnmi", higher_is_better=True)
    for champion in (None, version(1, {"labels/pnmi": 0.1})):
        verdict = judge(gate, version(2, {"labels/pnmi": 0.9}), champion)
        assert not verdict.is_champion
        assert "teacher" in verdict.reason


@pytest.mark.parametrize("nothing", [float("nan"), float("inf"), float("-inf")])
def test_a_figure_that_is_not_finite_is_none(nothing: float) -> None:
    gate = GateSpec(metric="valid/loss")
    for new, old in ((nothing, None), (nothing, 2.0), (1.0, nothing)):
        champion = None if old is None else version(1, {"valid/loss": old})
        verdict = judge(gate, version(2, {"valid/loss": new}), champion)
        assert not verdict.is_champion
        assert f"has no valid/loss that is finite, but {nothing}" in verdict.reason


def test_a_curve_that_ends_without_a_number_has_no_figure(tmp_path: Path) -> None:
    """The last finite loss is of an earlier update: it says nothing about the model that is registered."""
    for update, loss in ((10, 2.0), (20, None)):
        line: metrics.MetricsRecord = {
            "update": update,
            "valid/loss": loss,
            "valid/masked_accuracy": 0.25 * update,
            "time_unix": 1.0,
        }
        metrics.append(tmp_path / metrics.METRICS_FILE, line)
    found = {"probe/pnmi": 0.5, "probe/mfcc/pnmi": 0.1}
    assert measured_tags(found, tmp_path, MaskedPrediction(type="masked_prediction")) == {
        "measured.probe/pnmi": "0.5",
        "measured.valid/masked_accuracy": "5.0",
    }
    # Of a contrastive model loss and accuracy are no figures: `auto` cannot compare by them.
    assert measured_tags(found, tmp_path, Contrastive(type="contrastive")) == {"measured.probe/pnmi": "0.5"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"metric": "valid/loss", "higher_is_better": True},
        {"metric": "probe/pnmi", "higher_is_better": False},
        {"metric": "auto", "min_improvement": 0.1},
        {"higher_is_better": True},
    ],
)
def test_a_gate_that_would_choose_the_worse_version_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"is better when it is|name it"):
        GateSpec.model_validate(wrong)


@pytest.mark.parametrize("path", sorted((ROOT / "data_specs/recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_says_what_moves_its_champion(path: Path) -> None:
    assert "\ngate:" in path.read_text()
    recipe = read_recipe(path)
    assert recipe.gate.metric in ("auto", "probe/pnmi")
    assert recipe.probe is not None


def test_a_gate_by_the_probe_needs_a_probe(built: BuiltStore) -> None:
    values = {**dict(built.recipe), "gate": GateSpec(metric="probe/pnmi")}
    assert Recipe.model_validate(values).gate.metric == "probe/pnmi"
    with pytest.raises(ValidationError, match=r"probe/pnmi, which the recipe's `probe` measures"):
        Recipe.model_validate({**values, "probe": None})


def test_metrics_are_comparable_if_all_that_they_depend_on_is_equal(built: BuiltStore) -> None:
    first, second = built.models
    tags = comparable_tags(first, built.recipe)
    assert tags.keys() == {PROBE_TAG, VALID_TAG}
    other = comparable_tags(second, built.recipe)
    assert other[PROBE_TAG] == tags[PROBE_TAG]
    assert other[VALID_TAG] != tags[VALID_TAG]  # other labels

    def tags_with(**changes: object) -> dict[str, str]:
        iteration = built.recipe.iterations[0]
        train = iteration.train.model_copy(update=changes)
        recipe = built.recipe.model_copy(update={"iterations": (iteration.model_copy(update={"train": train}),)})
        return comparable_tags(models(plan(recipe))[0], recipe)

    assert tags_with(peak_lr=9e-4, weight_decay=0.5, updates=77) == tags
    changes: tuple[dict[str, object], ...] = (
        {"mask": MaskSpec(length=4)},
        {"unmasked_weight": 1.0},
        {"feature_penalty": 0.0},
        {"max_crop_seconds": 1.0},
        {"group_seconds": 2.5},
        {"seed": 5},  # the masks of validation are drawn from it
    )
    for change in changes:
        assert tags_with(**change)[VALID_TAG] != tags[VALID_TAG]
    recipe = built.recipe.model_copy(update={"probe": ScoresSpec(num_clusters=51)})
    assert comparable_tags(first, recipe)[PROBE_TAG] != tags[PROBE_TAG]


@pytest.mark.slow
def test_a_name_alone_means_the_champion_else_the_newest_and_it_is_said(
    make_store: Callable[[GateSpec], BuiltStore], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    built = make_store(GateSpec(metric="labels/pnmi"))  # makes none champion
    sync(built.recipe, built.store)
    said = f"{NAME} without a version means {NAME}:2, iteration 2: the newest, for none is champion; not compared:"
    with caplog.at_level(logging.INFO):
        out = pull_model(built.store, NAME, tmp_path / "newest")
        assert said in caplog.text
        caplog.clear()
        show_model(built.store, NAME)
        assert said in caplog.text
        caplog.clear()
        export_as(NAME, "hf", tmp_path / "hf", built.store)
        assert said in caplog.text
    assert (out / "model.safetensors").read_bytes() == weights_of(built, 1)

    promote(built.store, f"{NAME}:1", "champion")
    caplog.clear()
    with caplog.at_level(logging.INFO):
        out = pull_model(built.store, NAME, tmp_path / "champion")
    assert f"means {NAME}:1, iteration 1: the champion; promoted by hand" in caplog.text
    promote(built.store, f"{NAME}:2", "champion")
    assert show_model(built.store, f"{NAME}:1").versions[0].tags["wavlm.gate"] == f"champion until {NAME}:2"
    promote(built.store, f"{NAME}:1", "champion")
    promote(built.store, f"{NAME}:1", "champion")  # again: it is not its own successor
    assert show_model(built.store, f"{NAME}:1").versions[0].tags["wavlm.gate"] == "promoted by hand"
    assert (out / "model.safetensors").read_bytes() == weights_of(built, 0)
    register_model(built.registrations[1], built.store, built.recipe)  # moves nothing
    assert "champion" in show_model(built.store, f"{NAME}:1").versions[0].aliases


def weights_of(built: BuiltStore, number: int) -> bytes:
    return (built.store.path(built.models[number]) / "model.safetensors").read_bytes()
