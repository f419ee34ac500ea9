"""metrics.jsonl: the training curve, one JSON object a line, one line an update at most."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import JsonValue

from wavlm.storage.files import open_atomic

METRICS = "metrics.jsonl"

# What depends on the machine and the hour; all else is the same in every run.
TIMED = frozenset({"time_unix", "audio_seconds_per_second", "train/data_wait", "train/tflops"})

MetricsRecord = dict[str, JsonValue]


def append(path: Path, record: MetricsRecord) -> None:
    """Add one line and wait until it is on disk; NaN and infinity are refused."""
    line = json.dumps(record, allow_nan=False) + "\n"
    with path.open("ab") as file:
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> Iterator[MetricsRecord]:
    """The whole lines of a curve; what a crash left of the last line is passed over."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                record: MetricsRecord = json.loads(line)
                yield record


def drop_after(path: Path, update: int) -> None:
    """Drop the lines of later updates, so that a resumed run writes each of them once."""
    if not path.exists():
        return
    kept = [record for record in read(path) if _update(record) <= update]
    with open_atomic(path) as file:
        file.writelines(json.dumps(record).encode() + b"\n" for record in kept)


def _update(record: MetricsRecord) -> int:
    update = record["update"]
    if not isinstance(update, int):
        raise TypeError(f"a line of the metrics has the update {update!r}, not a number")
    return update
