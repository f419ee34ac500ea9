"""The joint table of phones and codes, which are the labels of all streams of a frame together.

It is kept in the same files as that of phones and labels (`wavlm.labels.counts`), which then have the column `code`
beside `label`, the label of the first stream. PNMI of codes is high by chance where there are many codes: a code that
occurs once tells its phone. So it compares codes on the same speech, and nothing else.

Legend: F frames, C streams, K clusters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from wavlm.labels.files import Labels
from wavlm.labels.quality import Phone, phones_of_frames
from wavlm.specs.frames import PAPER_FRAMES, FrameGrid
from wavlm.storage.parquet import write_parquet
from wavlm.storage.seals import check_sealed

COLUMNS = ["phone", "label", "code"]


def count_codes(phones: Sequence[Phone], labels: Labels, num_clusters: int, grid: FrameGrid = PAPER_FRAMES) -> pa.Table:
    """The phone, first label and code of each frame of an utterance that lies in a phone. labels: (F, C)."""
    names, numbers = phones_of_frames(phones, len(labels), grid)
    inside = np.flatnonzero(numbers >= 0)
    return pa.table(
        {
            "phone": pa.array([names[number] for number in numbers[inside].tolist()], pa.string()),
            "label": labels[inside, 0],
            "code": join_codes(labels[inside], num_clusters),
        }
    )


def join_codes(labels: Labels, num_clusters: int) -> npt.NDArray[np.uint64]:
    """One number for the labels of all streams: (F, C) -> (F,). Different codes have different ones up to 64 bits.

    Above that, such as 16 streams of 256 clusters, two codes have the same number by chance with probability 2^-64.
    """
    codes = np.zeros(len(labels), np.uint64)
    is_exact = num_clusters ** labels.shape[1] <= 2**64
    factor = np.uint64(num_clusters if is_exact else 0x9E3779B97F4A7C15)
    for stream in labels.T:
        codes = codes * factor + stream.astype(np.uint64)
        if not is_exact:  # the steps of SplitMix64
            codes = (codes ^ (codes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            codes ^= codes >> np.uint64(27)
    return codes


def write_code_counts(path: Path, tables: Mapping[str, Sequence[pa.Table]]) -> None:
    """Write the tables of one shard, by language: one row per phone and code that occur together."""
    parts = []
    for language, rows in sorted(tables.items()):
        counted = pa.concat_tables(rows).group_by(COLUMNS, use_threads=False).aggregate([([], "count_all")])
        counted = counted.sort_by([(name, "ascending") for name in COLUMNS])
        names = pa.array([language] * len(counted), pa.string())
        parts.append(counted.rename_columns({"count_all": "frames"}).add_column(0, "language", names))
    path.parent.mkdir(exist_ok=True)
    write_parquet(path, pa.concat_tables(parts).combine_chunks())


def joint_pnmi(paths: Sequence[Path]) -> float | None:
    """PNMI of the codes in some files: I(phone; code) / H(phone). None if there are no frames in phones."""
    total = pa.table({"phone": pa.array([], pa.string()), "code": pa.array([], pa.uint64()), "frames": _none()})
    for path in paths:
        check_sealed(path)
        table = pq.read_table(path, columns=total.column_names, page_checksum_verification=True)
        total = _add(pa.concat_tables([total, table]), ["phone", "code"])
    if not len(total):
        return None
    phone, code = (_entropy(_add(total, [name])) for name in ("phone", "code"))
    return max(0.0, (phone + code - _entropy(total)) / phone) if phone else 0.0


def _none() -> pa.Array:
    return pa.array([], pa.int64())


def _add(table: pa.Table, columns: list[str]) -> pa.Table:
    added = table.group_by(columns, use_threads=False).aggregate([("frames", "sum")])
    return added.rename_columns({"frames_sum": "frames"})


def _entropy(table: pa.Table) -> float:
    frames = np.sort(table["frames"].to_numpy().astype(np.float64))
    shares = frames / frames.sum()
    return float(-(shares * np.log(shares)).sum())
