"""A contrastive recipe: it has no labels, its numbers are the paper's, and no gate looks at its loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.tiny_specs import tiny_training
from wavlm.nn import WavLM
from wavlm.pipeline.artifacts import Codebook, Labels, Model, Shards
from wavlm.pipeline.plan import models, plan
from wavlm.specs import CodebookSpec, GateSpec, HiddenFeatures, IterationSpec, MfccFeatures, QuantizerSpec, Recipe
from wavlm.specs.shapes import num_parameters
from wavlm.specs.tree import RecipeError
from wavlm.specs.yaml import read_recipe

RECIPES = Path(__file__).parents[2] / "data_specs" / "recipes"
SPEC = {"type": "contrastive"}


@pytest.fixture(scope="module", name="wav2vec2")
def _wav2vec2() -> Recipe:
    return read_recipe(RECIPES / "wav2vec2-base.yaml")


def changed(recipe: Recipe, **changes: Any) -> Recipe:
    return Recipe.model_validate({**dict(recipe), **changes})


def test_the_plan_goes_from_shards_to_the_model_without_labels(wav2vec2: Recipe) -> None:
    artifacts = plan(wav2vec2)
    assert [item.kind for item in artifacts if item.kind not in ("corpus", "shards")] == [
        *("pretrain", "scores", "export", "register")
    ]
    (model,) = models(artifacts)
    assert len(model.data) == 3
    assert all(isinstance(item, Shards) for item in model.data)
    assert model.codebook is None


def test_a_later_iteration_clusters_a_layer_of_the_contrastive_model(wav2vec2: Recipe) -> None:
    first = wav2vec2.iterations[0]
    labelled = IterationSpec(
        codebook=CodebookSpec(features=HiddenFeatures(type="hidden", layer=6), num_clusters=100),
        network=first.network,
        train=tiny_training(),
    )
    artifacts = plan(changed(wav2vec2, iterations=(first, labelled)))
    (codebook,) = (item for item in artifacts if isinstance(item, Codebook))
    assert isinstance(codebook.teacher, Model)
    assert codebook.teacher.codebook is None
    assert sum(isinstance(item, Labels) for item in artifacts) == 3


@pytest.mark.parametrize("metric", ["valid/loss", "valid/masked_accuracy"])
def test_a_gate_by_loss_or_accuracy_is_refused(wav2vec2: Recipe, metric: str) -> None:
    refusal = rf"{metric} is best where a contrastive objective learns nothing; expected valid/soft_perplexity"
    with pytest.raises(ValidationError, match=refusal):
        changed(wav2vec2, gate=GateSpec(metric=metric))


def test_a_file_with_such_a_gate_is_refused_with_a_code_and_its_line(tmp_path: Path) -> None:
    text = (RECIPES / "wav2vec2-base.yaml").read_text()
    path = tmp_path / "recipes" / "mine.yaml"
    path.parent.mkdir()
    (tmp_path / "corpora").symlink_to(RECIPES.parent / "corpora")
    (tmp_path / "networks").symlink_to(RECIPES.parent / "networks")
    path.write_text(text.replace("metric: auto", "metric: valid/loss"))
    with pytest.raises(RecipeError, match=r"RECIPE: .*valid/loss is best where.*mine\.yaml:\d+:\d+, gate\.metric"):
        read_recipe(path)


@pytest.mark.parametrize("metric", ["valid/hard_perplexity", "valid/soft_perplexity", "valid/identical_negatives"])
def test_what_tells_a_collapse_may_be_gated_for_this_objective_alone(wav2vec2: Recipe, metric: str) -> None:
    held_out = tuple(corpus.model_copy(update={"valid_fraction": 0.1}) for corpus in wav2vec2.speech)
    assert changed(wav2vec2, gate=GateSpec(metric=metric), speech=held_out).gate.metric == metric
    hubert = read_recipe(RECIPES / "hubert-base.yaml")
    with pytest.raises(ValidationError, match=rf"a masked_prediction objective has no {metric}; expected valid/loss"):
        changed(hubert, gate=GateSpec(metric=metric), speech=held_out)
    with pytest.raises(ValidationError, match="so it has no interval"):
        GateSpec(metric=metric, confidence=0.9)


def test_labels_go_with_the_objective_that_reads_them(wav2vec2: Recipe) -> None:
    first = wav2vec2.iterations[0]
    mfcc = CodebookSpec(features=MfccFeatures(type="mfcc"), num_clusters=100)
    with pytest.raises(ValidationError, match="a contrastive objective reads no labels: leave the codebook out"):
        IterationSpec(codebook=mfcc, network=first.network, train=first.train)
    with pytest.raises(ValidationError, match="masked prediction needs labels: give a codebook"):
        IterationSpec(network=first.network, train=tiny_training())


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"unmasked_weight": 1.0}, "unmasked_weight belongs to masked prediction; found 1.0"),
        ({"masked_weight": 0.5}, "masked_weight belongs to masked prediction; found 0.5"),
        ({"mask": {"length": 1}}, "a contrastive objective needs two masked frames in every crop"),
        ({"mask": {"min_spans": 0}}, "a contrastive objective needs two masked frames in every crop"),
        ({"objective": {**SPEC, "quantizer": {"width": 9}}}, "width 9 is not divisible by codebooks 2"),
        ({"objective": {**SPEC, "last_temperature": 3.0}}, r"last_temperature 3\.0 is above first_temperature 2\.0"),
    ],
)
def test_settings_that_would_do_nothing_or_harm_are_refused(changes: dict[str, Any], refusal: str) -> None:
    with pytest.raises(ValidationError, match=refusal):
        tiny_training(**({"objective": SPEC} | changes))


def test_the_number_of_parameters_is_that_of_the_network(wav2vec2: Recipe) -> None:
    """fairseq's Base has 95.04 million, its Large 317.38 million (arXiv 2006.11477: 95 and 317 million)."""
    large = read_recipe(RECIPES / "wav2vec2-large.yaml")
    for recipe, expected in ((wav2vec2, 95.04e6), (large, 317.38e6)):
        (model,) = models(plan(recipe))
        assert num_parameters(model.network, 0, quantizer=model.train.quantizer) == pytest.approx(expected, rel=2e-4)
    small = wav2vec2.iterations[0].network.model_copy(update={"num_layers": 1, "width": 48, "ffn_width": 40})
    spec = QuantizerSpec(codebooks=3, entries=5, width=12)
    built = sum(parameter.numel() for parameter in WavLM(small, 0, quantizer=spec).parameters())
    assert num_parameters(small, 0, quantizer=spec) == built
