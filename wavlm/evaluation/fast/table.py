"""The scores of a model as a table: one row per corpus, layer and metric. The same as Parquet and as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wavlm.evaluation.facts import SCORES_CSV, SCORES_TABLE, LayerScore, LayerShape, ScoresFacts
from wavlm.storage.files import atomic_path
from wavlm.storage.parquet import write_parquet

SHAPE_METRICS = ("effective_rank", "inertia_share", "used_clusters", "entropy_bits", "davies_bouldin")
QUALITY_METRICS = ("pnmi", "phone_purity", "cluster_purity")


def write_table(facts: ScoresFacts, out: Path) -> None:
    """Write `scores.parquet` and `scores.csv` into a folder."""
    import pyarrow as pa
    from pyarrow import csv

    schema = pa.schema(
        [
            ("corpus", pa.string()),  # empty: of all corpora
            ("layer", pa.int64()),  # 0: MFCC
            ("metric", pa.string()),
            ("value", pa.float64()),
            ("low", pa.float64()),  # ends of the interval; null: there is none
            ("high", pa.float64()),
            ("number", pa.int64()),  # of what the value is made from
            ("unit", pa.string()),  # frames, or triplets
        ]
    )
    table = pa.Table.from_pylist(list(_rows(facts)), schema)
    write_parquet(out / SCORES_TABLE, table)
    with atomic_path(out / SCORES_CSV) as path:
        csv.write_csv(table, path)


def _rows(facts: ScoresFacts) -> Iterator[dict[str, Any]]:
    for item in facts.scores:
        yield from _score_rows(item)
    for shape in facts.shapes:
        yield from _shape_rows(shape)


def _score_rows(item: LayerScore) -> Iterator[dict[str, Any]]:
    about = {"corpus": "", "layer": item.layer}
    for metric in QUALITY_METRICS:
        value = getattr(item.quality, metric)
        yield {**about, "metric": metric, "value": value, "number": item.quality.num_frames, "unit": "frames"}
    for abx in item.abx:
        figures = {"value": abx.error, "low": abx.low, "high": abx.high}
        yield {**about, "metric": f"abx_{abx.mode}", **figures, "number": abx.num_triplets, "unit": "triplets"}


def _shape_rows(shape: LayerShape) -> Iterator[dict[str, Any]]:
    about = {"corpus": shape.corpus, "layer": shape.layer, "number": shape.num_frames, "unit": "frames"}
    for metric in SHAPE_METRICS:
        value = getattr(shape, metric)
        if value is not None:
            yield {**about, "metric": metric, "value": float(value)}
