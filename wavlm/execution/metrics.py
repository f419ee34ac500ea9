"""metrics.jsonl: the training curve. One JSON object per line, at most one line per update."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import JsonValue

from wavlm.errors import BadDataError
from wavlm.storage.files import write_text
from wavlm.storage.seals import check_sealed

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
    """The complete lines of a curve, none if the file is missing. A last line that a crash cut short is left out.

    Raises BadDataError: CHECKSUM if it is not the curve that was sealed, CURVE_BROKEN if a line cannot be read.
    """
    check_sealed(path)
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.endswith(b"\n"):
                yield _parse(line, f"line {number} of {path}")


def read_text(path: Path, update: int) -> str:
    """The lines of a curve up to an update, for a checkpoint to keep. Raises BadDataError (CURVE_BROKEN)."""
    kept = [record for record in read(path) if update_of(record) <= update]
    return "".join(json.dumps(record) + "\n" for record in kept)


def restore(path: Path, text: str) -> None:
    """Make the curve what a checkpoint kept of it, so that a resumed run writes each later line once."""
    write_text(path, text)


def parse_line(line: bytes) -> MetricsRecord | None:
    """A line of a curve that is being written; None if it cannot be read."""
    try:
        return _parse(line, "")
    except BadDataError:
        return None


def _parse(line: bytes, where: str) -> MetricsRecord:
    try:
        record = json.loads(line)
        if not isinstance(record, dict) or not isinstance(record["update"], int):
            raise TypeError("it has no update")  # noqa: TRY301 - one error for all damage
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadDataError(
            "CURVE_BROKEN",
            f"this is no line of a training curve: {error}; at {where}; run again if training goes on, else make the "
            "model again",
        ) from error
    return record


def update_of(record: MetricsRecord) -> int:
    """The number of finished updates that a record is about; raises TypeError if it names none."""
    update = record["update"]
    if not isinstance(update, int):
        raise TypeError(f"a line of the metrics has the update {update!r}, not a number")
    return update
