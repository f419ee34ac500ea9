"""metrics.jsonl: the training curve. One JSON object per line, at most one line per update."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import JsonValue

from wavlm.storage.files import open_atomic

METRICS_FILE = "metrics.jsonl"

# Metrics that depend on the machine and the time of day. All others are the same in every run.
TIMED = frozenset({"time_unix", "audio_seconds_per_second", "train/data_wait", "train/tflops"})

MetricsRecord = dict[str, JsonValue]


def append(path: Path, record: MetricsRecord) -> None:
    """Add one line and wait until it is on the disk; NaN and infinity raise ValueError."""
    line = json.dumps(record, allow_nan=False) + "\n"
    with path.open("ab") as file:
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> Iterator[MetricsRecord]:
    """The complete lines of a curve, none if the file is missing. A last line that a crash cut short is left out."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                record: MetricsRecord = json.loads(line)
                yield record


def drop_after(path: Path, update: int) -> None:
    """Remove the lines of later updates, so that a resumed run writes each of them once."""
    if not path.exists():
        return
    kept = [record for record in read(path) if update_of(record) <= update]
    with open_atomic(path) as file:
        file.writelines(json.dumps(record).encode() + b"\n" for record in kept)


def update_of(record: MetricsRecord) -> int:
    """The number of finished updates that a record is about; raises TypeError if it names none."""
    update = record["update"]
    if not isinstance(update, int):
        raise TypeError(f"a line of the metrics has the update {update!r}, not a number")
    return update
