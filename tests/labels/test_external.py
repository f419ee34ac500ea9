"""Labels that others made: what is taken, what is refused, and that each utterance gets its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.mini_shards import tones, write_shards
from wavlm.errors import BadDataError
from wavlm.features.extract import ExtractionPlan
from wavlm.labels.build import build_labels
from wavlm.labels.codebook import build_codebook
from wavlm.labels.facts import LabelsFacts
from wavlm.labels.files import read_labels
from wavlm.labels.keyed import MOST_RUNS, ROWS, sort_by_key, write_keyed
from wavlm.shards import read_columns, read_listing
from wavlm.specs import ExternalLabelsSpec
from wavlm.specs.frames import num_labels
from wavlm.storage.files import sha256_of

PLAN = ExtractionPlan("cpu", processes=1, threads=0, batch_samples=0, chunk_samples=0, groups_per_process=0)
Made = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards"), tones(7) + tones(2, seed=1, split="valid"))


def make(shards: Path, streams: int = 1, rate_hz: int = 50) -> Made:
    """Random labels below 41, for all utterances of a shards folder."""
    rng, shape = np.random.default_rng(0), (streams,) if streams > 1 else ()
    index = read_columns(shards, ["key", "samples"]).to_pylist()
    return {row["key"]: rng.integers(0, 41, (num_labels(row["samples"], rate_hz), *shape)) for row in index}


def write(made: Made, path: Path) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **made)
    else:
        rows = {"key": list(made), "labels": [item.ravel().tolist() for item in made.values()]}
        pq.write_table(pa.table(rows), path)
    return path


def take(path: Path, shards: Path, out: Path, **fields: object) -> LabelsFacts:
    wanted = {"type": "external", "file": str(path), "sha256": sha256_of(path), "num_clusters": 41, **fields}
    (out / "codebook").mkdir(parents=True)
    (out / "labels").mkdir()
    build_codebook(ExternalLabelsSpec.model_validate(wanted), {}, None, out / "codebook", PLAN)
    return build_labels(out / "codebook", None, shards, None, out / "labels", PLAN)


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
@pytest.mark.parametrize(("streams", "rate_hz"), [(1, 50), (1, 100), (3, 50)])
def test_each_utterance_gets_its_own_labels(
    tmp_path: Path, shards: Path, suffix: str, streams: int, rate_hz: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wavlm.labels.keyed.ROWS", 2)  # several groups, of which few are kept
    monkeypatch.setattr("wavlm.labels.external.KEPT_GROUPS", 1)
    made = make(shards, streams, rate_hz)
    backwards = dict(reversed(made.items()))
    path = write({"another": np.zeros((3, streams), int).squeeze(), **backwards}, tmp_path / f"made.{suffix}")
    facts = take(path, shards, tmp_path / "out", num_streams=streams, rate_hz=rate_hz)
    found: Made = {}
    for shard in read_listing(shards):
        labels = read_labels(tmp_path / "out" / "labels", shard)
        found |= labels.by_key
        assert (labels.header.num_streams, labels.header.label_rate_hz) == (streams, rate_hz)
    assert found.keys() == made.keys()
    for key, labels in found.items():
        np.testing.assert_array_equal(labels, made[key])
    assert facts.num_labels == sum(map(len, made.values()))
    assert facts.quality is not None


@pytest.mark.parametrize("streams", [1, 3])
def test_more_labels_than_fit_in_memory_are_sorted_in_parts_and_written_as_if_at_once(
    streams: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    shape = (streams,) if streams > 1 else ()
    keys = [f"{name:05d}" for name in rng.permutation(3000)]
    rows = [(key, rng.integers(0, 500, (int(rng.integers(0, 9)), *shape), np.uint16)) for key in keys]
    found = list(sort_by_key(iter(rows), streams, tmp_path, run_bytes=1000))
    assert 3 < len(list(tmp_path.glob("*.parquet"))) <= MOST_RUNS  # there were more, and some were merged before
    assert [key for key, _ in found] == sorted(keys)
    for (_, labels), (_, expected) in zip(found, sorted(rows, key=lambda row: row[0]), strict=True):
        np.testing.assert_array_equal(labels, expected)
    write_keyed(iter(found), tmp_path / "found.parquet")
    lists = pa.array([labels.ravel() for _, labels in found], pa.list_(pa.uint16()))
    table = pa.table({"key": pa.array(sorted(keys), pa.string()), "labels": lists})
    options = {"compression": "zstd", "use_dictionary": False, "write_page_checksum": True}
    pq.write_table(table, tmp_path / "at-once.parquet", row_group_size=ROWS, **options)
    assert (tmp_path / "found.parquet").read_bytes() == (tmp_path / "at-once.parquet").read_bytes()


def test_label_files_of_a_store_can_be_given_to_another(tmp_path: Path, shards: Path) -> None:
    take(write(make(shards), tmp_path / "made.npz"), shards, tmp_path / "first")
    train = write_shards(tmp_path / "train", tones(4), per_shard=4)
    again = tmp_path / "first" / "labels" / "train-000000.parquet"
    take(again, train, tmp_path / "second")
    theirs, ours = (read_labels(tmp_path / name / "labels", "train-000000.tar").by_key for name in ("first", "second"))
    assert {key: list(row) for key, row in theirs.items()} == {key: list(row) for key, row in ours.items()}


def spoil(made: Made, key: str, change: str) -> Made:
    labels = made[key].copy()
    if change == "missing":
        return {name: item for name, item in made.items() if name != key}
    if change == "short":
        labels = labels[:-1]
    elif change == "high":
        labels[2] = 41
    elif change == "negative":
        labels[2] = -1
    elif change == "float":
        labels = labels.astype(np.float64)
    return {**made, key: labels}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"EXTERNAL_KEY: no labels for an utterance.*at utterance train0-003"),
        ("short", r"EXTERNAL_LENGTH: \d+ labels, expected \d+: one per window.*at utterance train0-003"),
        ("high", r"EXTERNAL_RANGE: labels from \d+ to 41, expected 0 to 40; at utterance train0-003"),
        ("negative", r"EXTERNAL_RANGE: labels from -1 to \d+, expected 0 to 40; at utterance train0-003"),
        ("float", r"EXTERNAL_FILE: found labels of type float64, expected integers; at utterance train0-003"),
    ],
)
def test_labels_that_do_not_fit_are_refused_with_their_utterance(
    tmp_path: Path, shards: Path, change: str, message: str
) -> None:
    path = write(spoil(make(shards), "train0-003", change), tmp_path / "made.npz")
    with pytest.raises(BadDataError, match=message):
        take(path, shards, tmp_path / "out")
    assert not (tmp_path / "out" / "labels" / "labels.json").exists()


def test_a_file_of_other_bytes_or_another_form_is_refused(tmp_path: Path, shards: Path) -> None:
    path = write(make(shards), tmp_path / "made.parquet")
    with pytest.raises(BadDataError, match=r"EXTERNAL_FILE: found .*, expected sha256 0000"):
        take(path, shards, tmp_path / "a", sha256="0" * 64)
    with pytest.raises(BadDataError, match=r"EXTERNAL_FILE: found labels of shape .*, expected \(F, 2\)"):
        take(write(make(shards), tmp_path / "made.npz"), shards, tmp_path / "b", num_streams=2)
    text = tmp_path / "made.txt"
    text.write_text("train0-000 1 2 3")
    with pytest.raises(BadDataError, match=r"EXTERNAL_FILE: this is no Parquet file"):
        take(text, shards, tmp_path / "c")
    twice = pa.table({"key": ["a", "a"], "labels": [[1], [2]]})
    pq.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(BadDataError, match=r"EXTERNAL_FILE: found the key a twice"):
        take(tmp_path / "twice.parquet", shards, tmp_path / "d")
