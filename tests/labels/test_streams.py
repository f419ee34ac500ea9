"""Labels of several streams, from the files to the flat column of training; one stream stays as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.mini_shards import tones, write_shards
from wavlm.errors import BadDataError
from wavlm.labels.code_counts import count_codes, join_codes, joint_pnmi, write_code_counts
from wavlm.labels.counts import read_counts
from wavlm.labels.files import Header, label_file, read_joined, read_labels, write_labels
from wavlm.labels.flat import open_flat_labels
from wavlm.labels.quality import label_quality
from wavlm.labels.tally import tally_files
from wavlm.shards import read_columns, read_listing
from wavlm.specs.frames import num_labels

HEADER = Header("a" * 64, "b" * 64, '{"type": "mfcc"}', 100, 500)


def test_one_stream_is_written_as_before_there_were_streams(tmp_path: Path) -> None:
    labels = [np.array([1, 2, 499], np.uint16), np.zeros(0, np.uint16), np.array([7], np.uint16)]
    write_labels(tmp_path / "a.parquet", ["k0", "k1", "k2"], labels, HEADER)
    fields = {
        "shard_sha256": "a" * 64,
        "codebook_sha256": "b" * 64,
        "features": '{"type": "mfcc"}',
        "label_rate_hz": 100,
        "num_clusters": 500,
        "format": 1,
    }
    table = pa.table(
        {
            "key": pa.array(["k0", "k1", "k2"], pa.string()),
            "labels": pa.array([[1, 2, 499], [], [7]], pa.list_(pa.uint16())),
        },
        metadata={name: json.dumps(value) for name, value in fields.items()},
    )
    pq.write_table(
        *(table, tmp_path / "b.parquet"),
        compression="zstd",
        compression_level=9,
        use_dictionary=False,
        column_encoding={"key": "PLAIN", "labels.list.element": "BYTE_STREAM_SPLIT"},
        write_page_checksum=True,
    )
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_streams_come_back_frame_by_frame(tmp_path: Path) -> None:
    labels = [np.array([[1, 10, 20], [2, 11, 21]], np.uint16), np.array([[3, 12, 22]], np.uint16)]
    write_labels(tmp_path / "a.parquet", ["k0", "k1"], labels, replace(HEADER, num_streams=3))
    assert pq.read_table(tmp_path / "a.parquet")["labels"].to_pylist() == [[1, 10, 20, 2, 11, 21], [3, 12, 22]]
    found = read_labels(tmp_path, "a.tar")
    assert found.header.num_streams == 3
    assert [item.tolist() for item in found.labels] == [item.tolist() for item in labels]
    assert read_joined(tmp_path, "a.tar").bounds.tolist() == [0, 2, 3]


def test_a_list_that_is_no_multiple_of_the_streams_is_damaged(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.parquet", ["k"], [np.zeros(5, np.uint16)], replace(HEADER, num_streams=2))
    with pytest.raises(BadDataError, match=r"LABELS_DAMAGED.*no multiple of 2"):
        read_labels(tmp_path, "a.tar")


def test_training_reads_the_streams_of_every_second_label_at_100_hz(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", tones(6) + tones(2, seed=1, split="valid"))
    rng, made = np.random.default_rng(0), {}
    (tmp_path / "labels").mkdir()
    index = read_columns(shards, ["key", "shard", "samples"]).to_pylist()
    for shard, listed in read_listing(shards).items():
        keys = [row["key"] for row in index if row["shard"] == shard]
        counts = [int(num_labels(row["samples"], 100)) for row in index if row["shard"] == shard]
        rows = [rng.integers(0, 500, (count, 2)).astype(np.uint16) for count in counts]
        made |= dict(zip(keys, rows, strict=True))
        header = replace(HEADER, shard_sha256=listed.sha256, num_streams=2)
        write_labels(label_file(tmp_path / "labels", shard), keys, rows, header)
    (tmp_path / "labels" / "labels.json").write_text("{}")
    flat = open_flat_labels([tmp_path / "labels"], [shards], tmp_path / "cache")
    for row, item in enumerate(index):
        np.testing.assert_array_equal(flat.of(0, row), made[item["key"]][::2])
    assert flat.labels.shape == (sum(len(item[::2]) for item in made.values()), 2)
    assert flat.num_streams == 2


def test_each_stream_is_counted_by_itself(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (200, 2)).astype(np.uint16)
    labels[50:60] = labels[49]
    write_labels(tmp_path / "a.parquet", ["k"], [labels], replace(HEADER, num_clusters=3, num_streams=2))
    tally = tally_files(tmp_path, ["a.tar"], 3, 1, 2)
    assert tally.histogram.tolist() == [[(labels[:, n] == k).sum() for k in range(3)] for n in range(2)]
    assert tally.num_repeated == sum((labels[t] == labels[t - 1]).all() for t in range(1, 200))


@pytest.mark.parametrize(("num_clusters", "streams"), [(5, 3), (256, 16)])
def test_pnmi_of_codes_is_that_of_labels_that_number_them(tmp_path: Path, num_clusters: int, streams: int) -> None:
    rng = np.random.default_rng(1)
    phones = [(0.1 * n, 0.1 * (n + 1), "abc"[n % 3]) for n in range(40)]
    kinds = rng.integers(0, num_clusters, (12, streams))
    labels = kinds[rng.integers(0, 12, 199)].astype(np.uint16)
    numbers = np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1).astype(np.uint16)
    assert len(np.unique(join_codes(labels, num_clusters))) == len(np.unique(numbers))
    half = [label_file(tmp_path, name) for name in ("a.tar", "b.tar")]
    for path in half:
        write_code_counts(path, {"en": [count_codes(phones, labels, num_clusters)]})
    assert joint_pnmi(half) == pytest.approx(label_quality([(phones, numbers)], 12).pnmi)
    first = read_counts(half[0], num_clusters)["en"].quality()
    assert first.pnmi == pytest.approx(label_quality([(phones, labels[:, 0])], num_clusters).pnmi)
