"""The heat map of layers and the sentence beside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from tests.evaluation.results.test_groups import rate, result
from wavlm.evaluation.heat_map import plot_heat_map, write_heat_map
from wavlm.evaluation.results.facts import EvaluationFacts, LayerWeight
from wavlm.evaluation.results.layers import describe_centres, to_csv


def weighed(
    task: str, shares: Sequence[float], alone: Sequence[float] = (), metric: str = "accuracy"
) -> EvaluationFacts:
    layers = tuple(
        LayerWeight(layer=n, weight=share, norm=1.0, share=share, alone=alone[n] if alone else None)
        for n, share in enumerate(shares)
    )
    return result(task, rate(metric, 0.5), layers=layers)


def test_the_sentence_says_where_each_group_is_centred_and_how_far_its_tasks_differ() -> None:
    results = [weighed("sid", (1.0, 0.0, 0.0)), weighed("ks", (0.0, 0.5, 0.5)), weighed("pr", (0.0, 0.0, 1.0))]
    assert describe_centres(results, "iteration1") == (
        "Of the layers 0 to 2 of iteration1, weighted by their shares, content is centred on 1.8 (1.5 to 2.0 over 2 "
        "evaluations); speaker (sid-small) is centred on 0.0. Equal shares would be centred on 1.0."
    )


def test_tasks_on_synthetic_speech_are_in_no_sentence() -> None:
    made = weighed("ic", (0.0, 0.0, 1.0)).model_copy(update={"reality": "synthetic"})
    voices = weighed("sid", (1.0, 0.0, 0.0))
    assert describe_centres([made, voices], "it") == describe_centres([voices], "it") != ""
    assert describe_centres([made], "it") == ""
    published = made.model_copy(update={"protocol": "superb/sf"})
    assert describe_centres([published], "it") != "", "a published protocol has it made"


def test_baselines_without_layers_have_neither() -> None:
    flat = [result("ks", rate("accuracy", 0.5))]
    assert describe_centres(flat, "fbank") == ""
    assert plot_heat_map(flat) is None


def test_there_is_a_panel_for_each_thing_that_is_known_with_a_row_where_it_is_known(tmp_path: Path) -> None:
    two = plot_heat_map([weighed("ks", (0.2, 0.8))])
    three = plot_heat_map([weighed("ks", (0.2, 0.8), (0.1, 0.9)), weighed("sid", (0.5, 0.5))])
    assert two is not None
    assert three is not None
    assert [axes.get_title() for axes in three.axes] == [
        "softmax weight",
        "share: weight x mean norm",
        "each layer alone, on dev",
    ]
    assert len(two.axes) == 2
    rows = [[label.get_text() for label in axes.get_yticklabels()] for axes in three.axes]
    assert rows == [["ks-small", "sid-small"], ["ks-small", "sid-small"], ["ks-small"]]  # no empty row


@pytest.mark.parametrize(("metric", "darkest"), [("accuracy", 2), ("per", 0)])
def test_the_best_layer_alone_is_darkest_also_where_lower_is_better(metric: str, darkest: int) -> None:
    figure = plot_heat_map([weighed("pr", (0.2, 0.3, 0.5), (0.1, 0.5, 0.9), metric)])
    assert figure is not None
    (cells,) = figure.axes[2].collections
    assert int(cells.get_array().argmax()) == darkest  # type: ignore[union-attr]


def test_equal_weights_look_equal_and_larger_ones_of_another_task_are_darker() -> None:
    figure = plot_heat_map([weighed("pr", (0.24, 0.26, 0.25, 0.25)), weighed("sid", (1.0, 0.0, 0.0, 0.0))])
    assert figure is not None
    for axes in figure.axes:
        (cells,) = axes.collections
        flat, sharp = cells.get_array().reshape(2, 4)  # type: ignore[union-attr]
        assert flat.tolist() == pytest.approx([0.24, 0.26, 0.25, 0.25])
        assert sharp.tolist() == [1.0, 0.0, 0.0, 0.0]


def test_the_same_results_give_the_same_picture(tmp_path: Path) -> None:
    results = [weighed("ks", (0.2, 0.8), (0.1, 0.9))]
    first, second = (write_heat_map(results, tmp_path / f"{n}.png", "iteration1") for n in (1, 2))
    assert first is not None
    assert second is not None
    assert first.read_bytes() == second.read_bytes()
    with Image.open(first) as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24) or ()) > 10


def test_the_table_has_a_row_per_evaluation_and_layer() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv([weighed("ks", (0.2, 0.8), (0.1, 1 / 3))]))))
    assert [(row["group"], row["layer"], row["share"], row["alone"]) for row in rows] == [
        ("content", "0", "0.2", "0.1"),
        ("content", "1", "0.8", repr(1 / 3)),
    ]
