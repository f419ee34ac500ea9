"""Sample the frames that a codebook is learned from: seeded, and balanced over speakers.

Speakers take turns. Features go straight into the sample and are never written to disk.

Legend: F frames, D channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wavlm.execution.progress import Progress, no_progress
from wavlm.features.extract import ExtractionPlan, cut_chunks, extract_batched
from wavlm.features.frame_function import FrameFunction
from wavlm.features.mfcc import Floats
from wavlm.rng import rng_for
from wavlm.shards import Reader, find_copies_of_valid, read_columns
from wavlm.specs.shapes import num_labels

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SampledUtterances:
    """Rows of the indexes of several shards folders. All arrays have one entry per row."""

    folders: tuple[Path, ...]
    table: pa.Table  # key, shard, offset, size, samples, speaker
    folder: Integers  # number in `folders`
    speaker: Integers  # numbered over all folders: the same name in two folders is two speakers
    num_samples: Integers
    copies_of_valid: int  # rows of train that are left out, because their content is in a valid split


def read_utterances(shards_dirs: Sequence[Path], split: str) -> SampledUtterances:
    """All utterances of a split, in the order of the folders and their indexes; of train without copies of valid."""
    columns = ["key", "shard", "offset", "size", "samples", "speaker"]
    tables: list[pa.Table] = []
    speakers: list[Integers] = []
    copies = find_copies_of_valid(shards_dirs) if split == "train" else ()
    for number, shards_dir in enumerate(shards_dirs):
        table = read_columns(shards_dir, [*columns, "split"])
        chosen = table["split"].to_numpy() == split
        table = table.select(columns).filter(pa.array(chosen & ~copies[number] if copies else chosen))
        codes = table["speaker"].combine_chunks().dictionary_encode().indices
        first = max((int(ids.max()) + 1 for ids in speakers if len(ids)), default=0)
        speakers.append(codes.fill_null(0).to_numpy().astype(np.int64) + first)
        tables.append(table)
    table = pa.concat_tables(tables)
    return SampledUtterances(
        folders=tuple(shards_dirs),
        table=table,
        folder=np.repeat(np.arange(len(tables)), [len(item) for item in tables]),
        speaker=np.concatenate(speakers),
        num_samples=table["samples"].to_numpy().astype(np.int64),
        copies_of_valid=sum(int(mask.sum()) for mask in copies),
    )


def order_round_robin(speaker: Integers, rng: np.random.Generator) -> Integers:
    """An order of rows in which each speaker has one utterance before any has a second one, and so on: (rows,)."""
    shuffled = rng.permutation(len(speaker))
    by_speaker = shuffled[np.argsort(speaker[shuffled], kind="stable")]
    _, first, counts = np.unique(speaker[by_speaker], return_index=True, return_counts=True)
    turn = np.arange(len(speaker)) - np.repeat(first, counts)
    speaker_rank = np.repeat(rng.permutation(len(counts)), counts)
    return by_speaker[np.lexsort((speaker_rank, turn))]


def sample_frames(
    utterances: SampledUtterances,
    function: FrameFunction,
    num_frames: int,
    seed: int,
    plan: ExtractionPlan,
    progress: Progress = no_progress,
) -> tuple[Floats, Integers]:
    """A sample of at most `num_frames` frames, (F, D), and the rows that it comes from.

    Utterances are taken in turn over speakers until they have that many frames. Of each utterance a seeded, uniform
    choice of frames is kept, so that the sample has exactly `num_frames` if there are enough.
    """
    rng = rng_for(seed, "sample")
    order = order_round_robin(utterances.speaker, rng)
    lengths = num_labels(utterances.num_samples[order], function.rate_hz)
    needed = int(np.searchsorted(np.cumsum(lengths), num_frames)) + 1
    rows, frames = order[:needed], lengths[:needed]
    quotas = rng.multivariate_hypergeometric(frames, min(num_frames, int(frames.sum())))
    kept: list[Floats] = []
    extracted = _extract_features(utterances, rows, function, plan)
    for row, quota, features in zip(rows, quotas, extracted, strict=True):
        key = utterances.table["key"][int(row)].as_py()
        chosen = rng_for(seed, "frames", key).choice(len(features), quota, replace=False)
        kept.append(features[np.sort(chosen)])
        progress(len(kept), len(rows))
    return (np.concatenate(kept) if kept else np.zeros((0, 1), np.float32)), rows


def _extract_features(
    utterances: SampledUtterances, rows: Integers, function: FrameFunction, plan: ExtractionPlan
) -> Iterator[Floats]:
    """The features of the utterance in each of these rows, (F, D)."""
    readers = [Reader(folder) for folder in utterances.folders]

    def read(row: int) -> Floats:
        cells = utterances.table.slice(row, 1).to_pylist()[0]
        reader = readers[utterances.folder[row]]
        waveform: Floats = reader.read_at(cells["shard"], cells["offset"], cells["size"])
        return waveform

    chunks = cut_chunks(map(read, rows.tolist()), len, plan)
    for _, features in extract_batched(((None, chunk) for chunk in chunks), function, plan):
        yield from features
