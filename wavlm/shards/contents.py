"""What is in a folder of tars: the index of the utterances, and the listing of the tars."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from wavlm.shards.index import open_index
from wavlm.shards.listing import ListedShard, write_listing
from wavlm.shards.record import PartRecord
from wavlm.specs import SAMPLE_RATE_HZ


def write_contents(
    out: Path, parts: Iterable[tuple[PartRecord, pa.Table]], sample_rate_hz: int = SAMPLE_RATE_HZ
) -> None:
    """Write the index and the listing of some parts, in their order, each with the rows of its utterances.

    The rows are in memory part by part. If the parts end with an error, neither file is written.
    """
    listed: dict[str, ListedShard] = {}
    with open_index(out) as add:
        for record, utterances in parts:
            add(record.shard, utterances)
            if record.sha256:
                listed[record.shard] = ListedShard(
                    sha256=record.sha256,
                    utterances=record.utterances,
                    samples=record.samples,
                    inputs=record.inputs,
                    sample_rate_hz=sample_rate_hz,
                )
    write_listing(out, listed)
