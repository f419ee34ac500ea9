"""The loss of a finished model on held-out utterances, one by one: what a comparison of two models needs.

Each utterance is a micro-batch of its own, from its beginning, with the mask that validation draws for its key. So what
is measured depends on nothing but the utterance, its labels and the training spec, and two models see the same.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from wavlm.execution.job import LabelledShards
from wavlm.features.hidden import default_device, single_precision
from wavlm.labels.files import LabelMismatchError, Labels, read_labels
from wavlm.loader.batch import PackedBatch, pack
from wavlm.loader.epochs import SamplerState
from wavlm.loader.samples import MicroBatchArrays
from wavlm.loader.utterances import frames_of_crops
from wavlm.mixing.counts import MixingCounts
from wavlm.nn import load_model
from wavlm.rng import seed_for, stream_seeds
from wavlm.shards import Reader, read_columns, read_listing
from wavlm.specs import TrainSpec
from wavlm.specs.frames import FrameGrid
from wavlm.train.masked_prediction import MaskedPredictionSums, micro_batch_loss, micro_batch_sums

Floats = npt.NDArray[np.float64]
CHOICE_SEED = 0  # of the choice among many utterances: the same in every comparison


@dataclass(frozen=True)
class HeldOut:
    """One utterance of a valid split."""

    data: LabelledShards
    key: str
    shard: str
    offset: int  # of the FLAC in the shard
    size: int
    num_samples: int
    speaker: str


def choose_held_out(data: Sequence[LabelledShards], most: int) -> tuple[HeldOut, ...]:
    """The utterances of the valid splits, shard by shard; of more than `most` a choice that depends on keys alone."""
    found = (item for one in data for item in _valid_of(one))
    chosen = heapq.nsmallest(most, found, key=lambda item: (seed_for(CHOICE_SEED, "held out", item.key), item.key))
    order = {one.shards: number for number, one in enumerate(data)}
    return tuple(sorted(chosen, key=lambda item: (order[item.data.shards], item.shard, item.offset)))


def measure_losses(model_dir: Path, chosen: Sequence[HeldOut], train: TrainSpec) -> list[MaskedPredictionSums]:
    """The sums of each utterance, of which every validation metric is a quotient. The model is not changed."""
    device = torch.device(default_device())
    network = load_model(model_dir, device)
    found = []
    with torch.inference_mode(), single_precision():
        for packed in _batches(chosen, train, FrameGrid.of(network.network)):
            batch = packed.to(device)
            terms = network(batch, temperature=train.logit_temperature, with_unmasked=True)
            sums = micro_batch_sums(micro_batch_loss(terms, train), terms, train, batch)
            found.append(MaskedPredictionSums.from_numbers(sums.start_read()()))
    return found


def _valid_of(data: LabelledShards) -> Iterator[HeldOut]:
    table = read_columns(data.shards, ["key", "shard", "offset", "size", "samples", "speaker"], "valid")
    columns = [column.to_pylist() for column in table.columns]
    for key, shard, offset, size, samples, speaker in zip(*columns, strict=True):
        yield HeldOut(data, key, shard, offset, size, samples, speaker or "")


def _batches(chosen: Sequence[HeldOut], train: TrainSpec, grid: FrameGrid) -> Iterator[PackedBatch]:
    folders = {item.data.shards for item in chosen}
    rate_hz = grid.sample_rate_hz
    lengths = frames_of_crops(np.array([item.num_samples for item in chosen], np.int64), train, grid).tolist()
    pairs = zip(chosen, lengths, strict=True)
    listings = {folder: read_listing(folder) for folder in folders}
    for (data, shard), of_shard in groupby(pairs, key=lambda pair: (pair[0].data, pair[0].shard)):
        reader, labels = (
            Reader(data.shards, sample_rate_hz=rate_hz),
            _read_shard(data, shard, listings[data.shards][shard].sha256),
        )
        for item, frames in of_shard:
            pcm = np.empty((1, grid.samples_of(frames)), np.int16)
            reader.fill_at(pcm[0], item.shard, item.offset, item.size)
            arrays = MicroBatchArrays(
                pcm=pcm,
                changes=(),
                labels=_first_labels(labels, item, frames)[None],
                mask_seeds=stream_seeds(train.seed, ("mask", "valid"), (item.key,)),
                keys=(item.key,),
                utterances=np.zeros(1, np.int64),
                mixing=MixingCounts(utterances=1),
            )
            yield pack(arrays, train.mask, SamplerState(), SamplerState(), sample_rate_hz=rate_hz)


def _read_shard(data: LabelledShards, shard: str, expected: str) -> Mapping[str, Labels]:
    """The labels of a shard by key, one per frame. Raises LabelMismatchError unless its sha256 is `expected`."""
    folder = data.labels_there
    found = read_labels(folder, shard)
    if found.header.shard_sha256 != expected:
        raise LabelMismatchError(
            f"labels of a shard with sha256 {found.header.shard_sha256}, expected {expected}; at {folder / shard}"
        )
    return {key: labels[:: found.header.labels_per_frame] for key, labels in found.by_key.items()}


def _first_labels(by_key: Mapping[str, Labels], item: HeldOut, frames: int) -> Labels:
    if item.key not in by_key or len(by_key[item.key]) < frames:
        raise LabelMismatchError(f"fewer than {frames} labels; at utterance {item.key} of {item.data.labels}")
    return by_key[item.key][:frames]
