"""Label files: one Parquet file per shard."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from wavlm.errors import BadDataError
from wavlm.labels.files import Header, LabelMismatchError, read_labels, write_labels


def test_labels_come_back_as_they_were_written(tmp_path: Path) -> None:
    labels = [np.array([1, 2, 499], np.uint16), np.array([7], np.uint16)]
    written = Header("a" * 64, "b" * 64, "mfcc", 100, 500)
    write_labels(tmp_path / "train-000000.parquet", ["k1", "k0"], labels, written)
    found = read_labels(tmp_path, "train-000000.tar")
    assert found.keys == ("k1", "k0")
    assert found.header == written
    for one, other in zip(found.labels, labels, strict=True):
        assert one.dtype == np.uint16
        np.testing.assert_array_equal(one, other)


def test_a_shard_without_utterances_has_no_labels(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.parquet", [], [], Header("a", "b", "mfcc", 100, 5))
    assert read_labels(tmp_path, "a.tar").by_key == {}


def test_the_same_labels_are_the_same_bytes(tmp_path: Path) -> None:
    labels = [np.arange(300, dtype=np.uint16)]
    for name in ("a", "b"):
        write_labels(tmp_path / f"{name}.parquet", ["k"], labels, Header("a", "b", "mfcc", 100, 500))
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_flipped_bit_in_the_labels_is_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, 500, 4000).astype(np.uint16)]
    path = tmp_path / "a.parquet"
    write_labels(path, ["k"], labels, Header("a", "b", "mfcc", 100, 500))
    blob = bytearray(path.read_bytes())
    blob[len(blob) // 2] ^= 1
    path.write_bytes(blob)
    with pytest.raises(BadDataError, match=r"LABELS_DAMAGED.*a\.parquet"):
        read_labels(tmp_path, "a.tar")


def test_a_shard_without_labels_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabelMismatchError, match=r"no labels for shard train-000007\.tar"):
        read_labels(tmp_path, "train-000007.tar")


def test_the_metadata_is_plain_json(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.parquet", [], [], Header("a", "b", "mfcc", 100, 5))
    metadata = pq.read_schema(tmp_path / "a.parquet").metadata
    assert json.loads(metadata[b"label_rate_hz"]) == 100
