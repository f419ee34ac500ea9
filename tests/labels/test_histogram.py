"""How often each label occurs: counted in whole files, held-out speech first, until there are enough."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wavlm.labels.files import Header, write_labels
from wavlm.labels.histogram import count_labels


def write(folder: Path, name: str, *labels: list[int]) -> None:
    header = Header("0" * 64, "0" * 64, '{"type": "mfcc"}', 100, 5)
    keys = [f"{name}-{number}" for number in range(len(labels))]
    write_labels(folder / f"{name}.parquet", keys, [np.array(item, np.uint16) for item in labels], header)


def test_labels_are_counted_in_whole_files_until_there_are_enough(tmp_path: Path) -> None:
    write(tmp_path, "train-000000", [0, 0, 1], [4])
    write(tmp_path, "train-000001", [3] * 10)
    write(tmp_path, "valid-000000", [1, 2])
    assert count_labels(tmp_path, 5, enough=1000).tolist() == [2, 2, 1, 10, 1]
    assert count_labels(tmp_path, 5, enough=3).tolist() == [2, 2, 1, 0, 1]
    assert count_labels(tmp_path, 5, enough=1).tolist() == [0, 1, 1, 0, 0]
    assert count_labels(tmp_path / "empty", 5, enough=1).tolist() == [0] * 5
