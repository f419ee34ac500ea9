"""The sample of a codebook, drawn from the indexes of eight corpora: without reading any audio.

500 clusters of 1,000 frames, as in the recipes. One corpus has 60 % of the utterances, one has no speakers.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.scale import Row, Spent, cost_of, in_sizes
from benchmarks.scale.rows import PER_SPEAKER, fake_lengths, fake_sha256s, name_numbers, repeat, steps

SIZE = 30_000_000
SHARES = (0.6, 0.25, 0.1, 0.01, 0.01, 0.01, 0.01, 0.01)
WITHOUT_SPEAKERS = 2
KNOWN = {"MB": ("", "<= 400 MB"), "CPU s": ("", "<= 60 CPU s")}


def measure(size: int | None = None) -> list[Row]:
    """Peak memory and CPU time of drawing the train sample."""
    return in_sizes("codebook's sample", measure_once, size or SIZE, KNOWN)


def measure_once(size: int) -> Spent:
    """What a drawing costs from so many utterances."""
    with TemporaryDirectory() as name:
        cost_of(write_indexes, Path(name), size)
        return cost_of(draw, Path(name))


def write_indexes(folder: Path, size: int) -> None:
    """The indexes of all corpora. A hundredth of each is valid."""
    for number, share in enumerate(SHARES):
        (folder / str(number)).mkdir()
        write_index(folder / str(number), round(size * share), number, has_speakers=number != WITHOUT_SPEAKERS)


def write_index(shards_dir: Path, size: int, salt: int = 0, *, has_speakers: bool = True) -> None:
    """An index of so many utterances."""
    from wavlm.shards.index import INDEX_SCHEMA, index_path
    from wavlm.storage.parquet import open_parquet

    with open_parquet(index_path(shards_dir), INDEX_SCHEMA) as add:
        for numbers in steps(size):
            add(_index_rows(numbers, size, salt, INDEX_SCHEMA, has_speakers=has_speakers))


def _index_rows(
    numbers: npt.NDArray[np.int64], size: int, salt: int, schema: pa.Schema, *, has_speakers: bool
) -> pa.Table:
    samples, speakers, count = fake_lengths(numbers), numbers // PER_SPEAKER, len(numbers)
    files = np.random.default_rng([int(numbers[0]), salt, 1]).integers(0, 2**63, count).astype(np.uint64)
    origin = {
        "file": files,
        "channel": np.zeros(count, np.int16),
        "start": np.zeros(count, np.int64),
        "stop": samples,
    }
    arrays = [pa.array(column) for column in origin.values()]
    flat = pa.StructArray.from_arrays(arrays, fields=list(schema.field("origins").type.value_type))
    columns = {
        "key": name_numbers("utterance-", numbers),
        "shard": name_numbers("train-", numbers // 2400, ".tar"),
        "offset": pa.array(numbers % 2400 * 220_000),
        "size": pa.array(samples),
        "samples": pa.array(samples),
        "speaker": name_numbers("speaker-", speakers)
        if has_speakers
        else pa.array(["unknown"]).take(pa.array(0 * numbers)),
        "split": pa.array(np.where(numbers >= 0.99 * size, "valid", "train")),
        "sha256": fake_sha256s(numbers, salt),
        "language": repeat("", count),
        "origins": pa.ListArray.from_arrays(pa.array(np.arange(count + 1, dtype=np.int32)), flat),
    }
    return pa.table([columns[name] for name in schema.names], schema=schema)


def draw(folder: Path) -> int:
    """The utterances that are drawn, with the places that are read of them; their number."""
    from wavlm.labels.cells import read_cells
    from wavlm.labels.pools import read_pools
    from wavlm.labels.sampling import draw_shares
    from wavlm.specs import CodebookSpec, HiddenFeatures

    folders = [folder / str(number) for number in range(len(SHARES))]
    spec = CodebookSpec(features=HiddenFeatures(type="hidden", layer=9), num_clusters=500)
    names = [f"corpus-{number}" for number in range(len(SHARES))]
    train = read_pools(folders, names, "train", 50)
    drawing = draw_shares(train.pools, train.pools, 50, 500 * spec.sample_frames_per_cluster, spec)
    return len(read_cells(folders, drawing).table)
