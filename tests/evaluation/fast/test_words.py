"""What the scores say: the layer that is advised and why, sentences, the names of metrics, and the tables."""

from __future__ import annotations

from pathlib import Path

import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from tests.facts import abx_score, layer_shape, quality, scores_facts
from wavlm.evaluation.facts import LayerScore, ScoresFacts
from wavlm.evaluation.fast.advice import advise_layer
from wavlm.evaluation.fast.metrics import probe_metrics
from wavlm.evaluation.fast.table import write_table
from wavlm.evaluation.fast.words import describe_abx


def facts_of(pnmi: list[float], errors: list[float] | None = None) -> ScoresFacts:
    """Of MFCC and of layers: PNMI, and ABX errors within speakers."""
    scores = tuple(
        LayerScore(
            name=f"layer {layer}" if layer else "mfcc",
            layer=layer,
            quality=quality(value),
            abx=(abx_score("within", errors[layer]),) if errors else (),
        )
        for layer, value in enumerate(pnmi)
    )
    return scores_facts(50).model_copy(update={"scores": scores, "mfcc_pnmi": pnmi[0], "shapes": ()})


@pytest.mark.parametrize(
    ("pnmi", "errors", "layer", "words"),
    [
        ([0.3, 0.4, 0.5], None, 2, "its PNMI is the highest, 0.500"),
        ([0.3, 0.4, 0.5], [0.2, 0.3, 0.1], 2, "and its ABX error within speakers the lowest, 0.100"),
        ([0.3, 0.4, 0.5], [0.2, 0.1, 0.3], 2, "ABX within speakers is lowest in layer 1, 0.100 against 0.300"),
        ([0.3, 0.496, 0.5], [0.2, 0.1, 0.3], 1, "within 0.005 of the highest, 0.500 (layers 1, 2), and of these"),
        ([0.3, 0.494, 0.5], [0.2, 0.1, 0.3], 2, "its PNMI is the highest"),
        ([0.6, 0.4, 0.5], None, 2, "But MFCC has 0.600"),
    ],
)
def test_pnmi_decides_which_layer_is_advised_and_abx_only_between_equals(
    pnmi: list[float], errors: list[float] | None, layer: int, words: str
) -> None:
    found = advise_layer(facts_of(pnmi, errors))
    assert found.advised_layer == layer
    assert found.advice is not None
    assert found.advice.startswith(f"cluster layer {layer} next: ")
    assert words in found.advice


def test_effective_rank_is_never_a_reason() -> None:
    shapes = tuple(layer_shape(layer, rank=float(2**layer)) for layer in range(13))
    ranks = advise_layer(ScoresFacts(num_utterances=0, scores=(), reason="none", shapes=shapes))
    assert ranks.advised_layer is None
    assert ranks.advice is not None
    assert "layer 6 to 9 of 12" in ranks.advice
    assert "compare checkpoints of one layer, not layers" in ranks.advice
    assert advise_layer(ScoresFacts(num_utterances=0, scores=(), reason="none")).advice is None


def test_the_lowest_error_is_said_with_its_interval_beside_that_of_mfcc() -> None:
    facts = facts_of([0.3, 0.4, 0.5], [0.2, 0.1, 0.3])
    assert list(describe_abx(facts)) == ["ABX error within speakers 0.100 (0.050 to 0.150) in layer 1, of MFCC 0.200"]


def test_metrics_of_the_best_layer_are_of_held_out_speech_only() -> None:
    facts = facts_of([0.3, 0.4, 0.5], [0.2, 0.1, 0.3])
    facts = facts.model_copy(update={"shapes": (layer_shape(0, 9.0), layer_shape(1, 5.5))})
    found = probe_metrics(facts)
    assert found["probe/abx_within"] == 0.1
    assert found["probe/mfcc/abx_within"] == 0.2
    assert found["probe/layer02/abx_within"] == 0.3
    assert found["probe/layer02/pnmi"] == 0.5
    assert found["probe/layer01/effective_rank"] == 5.5
    assert not [name for name in found if "across" in name or "layer00" in name]
    on_train = probe_metrics(facts.model_copy(update={"judged_on": "train"}))
    assert set(found) - set(on_train) == {"probe/pnmi", "probe/abx_within"}


def test_tables_hold_a_row_per_corpus_layer_and_metric(tmp_path: Path) -> None:
    facts = facts_of([0.3, 0.4], [0.2, 0.1])
    shape = layer_shape(1, 5.5).model_copy(update={"corpus": "ab", "davies_bouldin": None})
    write_table(facts.model_copy(update={"shapes": (shape,)}), tmp_path)
    rows = pq.read_table(tmp_path / "scores.parquet").to_pylist()
    assert len({(row["corpus"], row["layer"], row["metric"]) for row in rows}) == len(rows) == 2 * 4 + 4
    (abx,) = [row for row in rows if (row["layer"], row["metric"]) == (1, "abx_within")]
    assert (abx["value"], abx["low"], abx["high"], abx["unit"]) == (0.1, 0.05, 0.15, "triplets")
    assert [row["metric"] for row in rows if row["corpus"] == "ab"] == [
        *("effective_rank", "inertia_share", "used_clusters", "entropy_bits")
    ]
    assert pc.read_csv(tmp_path / "scores.csv")["value"].to_pylist() == [row["value"] for row in rows]
