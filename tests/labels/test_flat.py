"""The flat labels for training, and their join with the audio."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.mini_shards import tones, write_shards
from tests.waiting import LIMIT_SECONDS
from wavlm.labels.files import Header, LabelMismatchError, label_file, read_labels, write_labels
from wavlm.labels.flat import open_flat_labels
from wavlm.shards import listing_path, read_columns, read_listing
from wavlm.specs.frames import num_labels
from wavlm.specs.shapes import num_frames
from wavlm.storage.locks import hold_lock


def header(shards_dir: Path, shard: str, rate_hz: int = 100) -> Header:
    return Header(
        shard_sha256=read_listing(shards_dir)[shard].sha256,
        codebook_sha256="c" * 64,
        features='{"type": "mfcc"}',
        label_rate_hz=rate_hz,
        num_clusters=500,
    )


def label(shards_dir: Path, out: Path, rate_hz: int = 100) -> dict[str, np.ndarray]:
    """Random labels for a shards folder, keys in reverse: order must not matter."""
    rng = np.random.default_rng(0)
    out.mkdir()
    expected = {}
    index = read_columns(shards_dir, ["key", "shard", "samples"]).to_pylist()
    for shard in read_listing(shards_dir):
        made = {
            row["key"]: rng.integers(0, 500, num_labels(row["samples"], rate_hz)).astype(np.uint16)
            for row in index
            if row["shard"] == shard
        }
        keys = sorted(made, reverse=True)
        write_labels(
            label_file(out, shard),
            keys,
            [made[key] for key in keys],
            header(shards_dir, shard, rate_hz),
        )
        expected.update(made)
    (out / "labels.json").write_text("{}")
    return expected


@pytest.fixture
def shards_dir(tmp_path: Path) -> Path:
    return write_shards(tmp_path / "shards", tones(6) + tones(2, seed=1, split="valid"))


def test_there_is_a_label_for_every_frame_of_the_network() -> None:
    for num_samples in [0, 1, 399, *range(400, 2000), 249_999, 250_000]:
        assert num_labels(num_samples, 50) == num_frames(num_samples)
        num_at_100_hz = int(num_labels(num_samples, 100))
        assert num_at_100_hz == len(range(0, num_samples - 399, 160))
        assert 2 * (num_frames(num_samples) - 1) < max(1, num_at_100_hz)


@pytest.mark.parametrize("rate_hz", [50, 100])
def test_flat_labels_are_joined_by_key_in_the_order_of_the_index(
    tmp_path: Path, shards_dir: Path, rate_hz: int
) -> None:
    second = write_shards(tmp_path / "second", tones(5, seed=2))
    expected = {
        **label(shards_dir, tmp_path / "labels", rate_hz),
        **label(second, tmp_path / "labels2", rate_hz),
    }
    folders = ([tmp_path / "labels", tmp_path / "labels2"], [shards_dir, second])
    for flat in (open_flat_labels(*folders, tmp_path / "cache") for _ in range(2)):  # built, found
        for corpus, folder in enumerate(folders[1]):
            for row, utterance in enumerate(read_columns(folder, ["key", "samples"]).to_pylist()):
                found = flat.of(corpus, row)
                assert len(found) == num_frames(utterance["samples"])
                np.testing.assert_array_equal(found, expected[utterance["key"]][:: rate_hz // 50])
    assert isinstance(flat.labels.base, np.memmap)
    assert flat.labels.tolist() == [
        label
        for folder in folders[1]
        for key in read_columns(folder, ["key"])["key"].to_pylist()
        for label in expected[key][:: rate_hz // 50].tolist()
    ]


def test_ranks_that_start_together_build_the_flat_labels_once(tmp_path: Path, shards_dir: Path) -> None:
    label(shards_dir, tmp_path / "labels")
    folders, cache = ([tmp_path / "labels"], [shards_dir]), tmp_path / "cache"
    open_flat_labels(*folders, cache)
    (built,) = cache.iterdir()
    lock = cache / f"{built.name}.lock"
    hidden = built.rename(tmp_path / "hidden")
    with ThreadPoolExecutor() as pool:
        with hold_lock(lock, "it"):  # as another rank that is building
            found = pool.submit(open_flat_labels, *folders, cache)
            with pytest.raises(TimeoutError):
                found.result(timeout=0.3)
            hidden.rename(built)
        before = {path: path.stat().st_ino for path in built.iterdir()}
        assert len(found.result(timeout=LIMIT_SECONDS).labels)
    assert {path: path.stat().st_ino for path in built.iterdir()} == before


def test_a_shard_that_was_made_again_refuses_its_old_labels(tmp_path: Path, shards_dir: Path) -> None:
    label(shards_dir, tmp_path / "labels")
    open_flat_labels([tmp_path / "labels"], [shards_dir], tmp_path / "cache")
    listing, expected = listing_path(shards_dir), read_listing(shards_dir)["valid-000000.tar"].sha256
    listing.write_text(listing.read_text().replace(expected, "f" * 64))
    with pytest.raises(LabelMismatchError, match=r"expected f{64}; at .*valid-000000\.tar"):
        open_flat_labels([tmp_path / "labels"], [shards_dir], tmp_path / "cache")


def rewrite(labels_dir: Path, shard: str, keys: list[str], labels: list[np.ndarray]) -> None:
    kept = read_labels(labels_dir, shard).header
    write_labels(label_file(labels_dir, shard), keys, labels, kept)


def test_an_utterance_without_labels_is_named(tmp_path: Path, shards_dir: Path) -> None:
    label(shards_dir, tmp_path / "labels")
    shard = read_labels(tmp_path / "labels", "train-000000.tar")
    rewrite(tmp_path / "labels", "train-000000.tar", list(shard.keys[1:]), list(shard.labels[1:]))
    with pytest.raises(LabelMismatchError, match=f"in the index; at {shard.keys[0]}"):
        open_flat_labels([tmp_path / "labels"], [shards_dir], tmp_path / "cache")


def test_one_label_too_few_is_refused(tmp_path: Path, shards_dir: Path) -> None:
    label(shards_dir, tmp_path / "labels")
    shard = read_labels(tmp_path / "labels", "train-000000.tar")
    count = len(shard.labels[2])
    shortened = [*shard.labels[:2], shard.labels[2][:-1], *shard.labels[3:]]
    rewrite(tmp_path / "labels", "train-000000.tar", list(shard.keys), shortened)
    with pytest.raises(LabelMismatchError, match=rf"{count - 1} labels, expected {count} .*{shard.keys[2]}"):
        open_flat_labels([tmp_path / "labels"], [shards_dir], tmp_path / "cache")
    left = [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]
    assert not left  # nothing half-made


def test_labels_of_two_codebooks_do_not_train_one_model(tmp_path: Path, shards_dir: Path) -> None:
    second = write_shards(tmp_path / "second", tones(2, seed=2))
    label(shards_dir, tmp_path / "labels")
    label(second, tmp_path / "labels2")
    shard = read_labels(tmp_path / "labels2", "train-000000.tar")
    other = replace(shard.header, codebook_sha256="d" * 64)
    write_labels(tmp_path / "labels2" / "train-000000.parquet", shard.keys, shard.labels, other)
    with pytest.raises(LabelMismatchError, match="different codebooks"):
        open_flat_labels([tmp_path / "labels", tmp_path / "labels2"], [shards_dir, second], tmp_path / "cache")


def test_a_folder_that_is_not_complete_is_refused(tmp_path: Path, shards_dir: Path) -> None:
    label(shards_dir, tmp_path / "labels")
    (tmp_path / "labels" / "labels.json").unlink()
    with pytest.raises(LabelMismatchError, match=r"labels\.json is missing"):
        open_flat_labels([tmp_path / "labels"], [shards_dir], tmp_path / "cache")
