"""The files that publish the evaluations of a model beside it: tables for programs, and the heat map of its layers.

results.parquet, results.csv   one row per model or baseline, evaluation and figure, in full precision
layers.csv                     one row per evaluation and layer of the model
layers.png                     the heat map; neither of the two if no evaluation has layer weights
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wavlm.evaluation.results.board import Board, long_rows, to_csv
from wavlm.evaluation.results.facts import EvaluationFacts
from wavlm.evaluation.results.layers import to_csv as layers_to_csv
from wavlm.storage.files import write_text
from wavlm.storage.parquet import write_parquet

TABLE, TABLE_CSV = "results.parquet", "results.csv"
LAYERS_CSV, LAYERS_PLOT = "layers.csv", "layers.png"


def publish_results(board: Board, own: Sequence[EvaluationFacts], out: Path, title: str) -> list[Path]:
    """Write them into a folder; return their paths. own: the results of the model, without those of baselines."""
    import pyarrow as pa

    from wavlm.evaluation.heat_map import write_heat_map

    out.mkdir(parents=True, exist_ok=True)
    rows = list(long_rows(board))
    numbers = {"value": pa.float64(), "low": pa.float64(), "high": pa.float64(), "minutes": pa.float64()}
    counts = dict.fromkeys(("lower_is_better", "utterances", "speakers"), pa.int64())
    kinds = {**dict.fromkeys(rows[0] if rows else (), pa.string()), **numbers, **counts}
    write_parquet(out / TABLE, pa.Table.from_pylist(rows, pa.schema(list(kinds.items()))))
    write_text(out / TABLE_CSV, to_csv(rows))
    found = [out / TABLE, out / TABLE_CSV]
    if plot := write_heat_map(own, out / LAYERS_PLOT, title):
        write_text(out / LAYERS_CSV, layers_to_csv(own))
        found += [out / LAYERS_CSV, plot]
    return found
