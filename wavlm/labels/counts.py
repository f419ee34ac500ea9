"""The joint table of phones and labels on disk: a Parquet file per shard in `quality/`, and `counts.npz` of them all.

A Parquet file has a row per language, phone and label that occur together, and their number of frames. The language is
`unknown` if it is not known. Shards without phones have no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wavlm.errors import BadDataError
from wavlm.labels.quality import JointCounts
from wavlm.storage.files import open_atomic
from wavlm.storage.parquet import write_parquet
from wavlm.storage.passing import refuse_passing
from wavlm.storage.seals import check_sealed


def counts_file(label_file: Path) -> Path:
    """The path of the table of a shard, given the path of its label file."""
    return label_file.parent / "quality" / label_file.name


def write_counts(path: Path, tables: Mapping[str, JointCounts]) -> None:
    """Write the tables of one shard, by language."""
    parts = [_as_table(language, joint) for language, joint in sorted(tables.items())]
    path.parent.mkdir(exist_ok=True)
    write_parquet(path, pa.concat_tables(parts).combine_chunks())


def _as_table(language: str, joint: JointCounts) -> pa.Table:
    phone, label = np.nonzero(joint.counts)
    return pa.table(
        {
            "language": pa.array([language] * len(phone), pa.string()),
            "phone": pa.array([joint.phones[number] for number in phone], pa.string()),
            "label": label.astype(np.uint16),
            "frames": joint.counts[phone, label],
        }
    )


def read_counts(path: Path, num_clusters: int) -> dict[str, JointCounts]:
    """The tables of one shard, by language. The checksum of every page is verified.

    Raises BadDataError: CHECKSUM if it is not the file that was sealed, LABELS_DAMAGED if it is damaged.
    """
    check_sealed(path)
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        languages = pc.unique(table["language"]).to_pylist()
        return {name: _read_joint(table.filter(pc.equal(table["language"], name)), num_clusters) for name in languages}
    except (OSError, pa.ArrowException, ValueError, TypeError, KeyError, IndexError) as error:
        refuse_passing(error, path)
        raise BadDataError("LABELS_DAMAGED", f"{error}; at {path}; remove it and run the labels stage again") from error


def _read_joint(table: pa.Table, num_clusters: int) -> JointCounts:
    phones = table["phone"].to_pylist()
    names = tuple(sorted(set(phones)))
    row = {name: number for number, name in enumerate(names)}
    counts = np.zeros((len(names), num_clusters), np.int64)
    places = [row[name] for name in phones], table["label"].to_numpy()
    np.add.at(counts, places, table["frames"].to_numpy())  # of several streams a label has a row per code
    return JointCounts(names, counts)


def write_total(labels_dir: Path, joint: JointCounts) -> None:
    """Write the table of a whole labels folder as `counts.npz`: names of phones (P,), counts (P, K)."""
    with open_atomic(labels_dir / "counts.npz") as file:
        np.savez(file, phones=np.array(joint.phones), counts=joint.counts)
