"""Labels are counted in parts, and in one array per shard: the sums are those of counting one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wavlm.labels.files import Header, write_labels
from wavlm.labels.tally import tally_files
from wavlm.storage.files import sha256_of

HEADER = Header("a" * 64, "b" * 64, '{"type": "mfcc"}', 100, 5)


def write_random(folder: Path, num_files: int) -> dict[str, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    files: dict[str, list[np.ndarray]] = {}
    for number in range(num_files):
        lengths = rng.choice([0, 0, 1, 2, 50], 6)
        labels = [rng.integers(0, 2 + number % 4, length).astype(np.uint16) for length in lengths]
        write_labels(folder / f"train-{number:06d}.parquet", [f"k{n}" for n in range(6)], labels, HEADER)
        files[f"train-{number:06d}.tar"] = labels
    return files


@pytest.mark.parametrize("files_per_part", [1, 3, 64])
def test_the_sums_are_those_of_each_utterance_alone(
    tmp_path: Path, files_per_part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wavlm.labels.tally.FILES_PER_PART", files_per_part)
    files = write_random(tmp_path, 7)
    labels = [item.tolist() for found in files.values() for item in found]
    pairs = [pair for item in labels for pair in zip(item[1:], item[:-1], strict=True)]
    tally = tally_files(tmp_path, list(files), 5, 1)
    assert tally.histogram[0].tolist() == [sum(item.count(label) for item in labels) for label in range(5)]
    assert (tally.num_utterances, tally.num_pairs) == (42, len(pairs))
    assert tally.num_repeated == sum(one == other for one, other in pairs)
    assert tally.sha256s == {name: sha256_of((tmp_path / name).with_suffix(".parquet")) for name in files}


def test_of_no_files_there_is_nothing(tmp_path: Path) -> None:
    tally = tally_files(tmp_path, [], 5, 1)
    assert (tally.histogram[0].tolist(), tally.num_utterances, tally.num_pairs) == ([0] * 5, 0, 0)
