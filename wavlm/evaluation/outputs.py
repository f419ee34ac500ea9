"""The files of an evaluation beside its facts.

predictions.parquet   what was predicted for each example of the test part, with its target
layers.csv            the layer weights, their norms and shares, and the score of each layer alone
heads/*.safetensors   the chosen heads, which can be used again
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from wavlm.evaluation.describe import Tested
from wavlm.evaluation.results.facts import LayerWeight
from wavlm.nn.files import save_tensors
from wavlm.storage.files import atomic_path
from wavlm.storage.parquet import write_parquet

PREDICTIONS, LAYERS = "predictions.parquet", "layers.csv"
PREDICTION_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("speaker", pa.string(), nullable=False),
        pa.field("fold", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("target", pa.string(), nullable=False),  # JSON
        pa.field("prediction", pa.string(), nullable=False),  # JSON
    ]
)


def write_files(out: Path, tested: Sequence[Tested], layers: Sequence[LayerWeight]) -> None:
    """Write all of them."""
    write_predictions(out / PREDICTIONS, tested)
    _write_layers(out / LAYERS, layers)
    _write_heads(out, tested)


def write_predictions(path: Path, tested: Sequence[Tested]) -> None:
    """Write what was predicted for each example of the test part, with its target."""
    rows = [
        {
            "key": item.key,
            "speaker": item.speaker,
            "fold": it.split.name,
            "seed": seed,
            "target": json.dumps(item.target, ensure_ascii=False, sort_keys=True),
            "prediction": json.dumps(found, ensure_ascii=False, sort_keys=True),
        }
        for it in tested
        for seed, predictions in enumerate(it.predictions)
        for item, found in zip(it.split.test, predictions, strict=True)
    ]
    write_parquet(path, pa.Table.from_pylist(rows, schema=PREDICTION_SCHEMA))


def _write_layers(path: Path, layers: Sequence[LayerWeight]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("layer", "weight", "norm", "share", "alone"))
        for it in layers:
            writer.writerow((it.layer, it.weight, it.norm, it.share, "" if it.alone is None else it.alone))


def _write_heads(out: Path, tested: Sequence[Tested]) -> None:
    (out / "heads").mkdir(parents=True, exist_ok=True)
    for number, it in enumerate(tested):
        for seed, head in enumerate(it.searched.heads):
            save_tensors(dict(head.state_dict()), out / "heads" / f"fold{number}-seed{seed}.safetensors", {})
