"""Histories of corpora for tests, version by version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from wavlm.corpus.facts import SplitRule
from wavlm.corpus.growth.history import HISTORY, History, end_versions, make_versions, open_history, read_history


@dataclass(frozen=True)
class Version:
    """A recording, from one generation on until another."""

    key: str
    path: str = "x.flac"
    start_s: float | None = None
    end_s: float | None = None
    channel: int | None = None
    speaker: str = "ann"
    split: str = "train"
    size_bytes: int = 1
    sha256: str = "a"
    sample_rate_hz: int = 16_000
    num_samples: int = 16_000
    row: str = "0" * 16
    generation: int = 1
    since: int = 1
    until: int | None = None


def write_versions(
    corpus_dir: Path, versions: Sequence[Version], rule: SplitRule = "speakers", below: float = 0.0
) -> History:
    """Write `history.parquet` of these versions, in their order."""
    with open_history(corpus_dir, rule, below) as add:
        for item in versions:
            said = {name: [value] for name, value in asdict(item).items() if name != "until"}
            types = {"channel": pa.int16(), "start_s": pa.float64(), "end_s": pa.float64()}
            types |= dict.fromkeys(("sample_rate_hz", "generation", "since"), pa.int32())
            rows = pa.table({name: pa.array(value, types.get(name)) for name, value in said.items()})
            (batch,) = make_versions(rows, {}).to_batches()
            add(end_versions(batch, pa.array([item.until], pa.int32())))
    return read_history(corpus_dir / HISTORY)
