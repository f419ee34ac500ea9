"""The labelling pass: shards in, one Parquet file of labels for each out.

Audio is decoded ahead, heard once, and assigned where it was heard; two bytes a label come back.
Where utterances know their phones, each shard also gets its part of the joint table of phones and
labels. A shard's batches are chosen among its own utterances, so what it is made beside, before or
after an interruption, changes nothing in it.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from wavlm.corpus.layouts import Phone
from wavlm.errors import BadDataError
from wavlm.features.extract import ExtractionPlan, OrderedMap, chunks, extract_batched, open_ordered_map
from wavlm.features.frames import Floats, frame_function
from wavlm.labels.assign import make_assign, refuse_unassigned
from wavlm.labels.codebook import read_centroids
from wavlm.labels.files import Header, Labels, read_header, write_labels
from wavlm.labels.quality import JointCounts, joint_counts, merge_counts
from wavlm.shards import TarSample, Utterance, decode_sample, read_samples
from wavlm.specs import Features
from wavlm.specs.shapes import FRAME_RATE_HZ
from wavlm.storage.files import atomic_path, sha256_of


@dataclass(frozen=True)
class LabelPart:
    """One shard to label."""

    shard: Path
    output: Path
    header: Header

    @property
    def counts(self) -> Path:
        """Where its part of the joint table of phones and labels is, if it has phones."""
        return self.output.parent / "quality" / self.output.name

    @property
    def is_made(self) -> bool:
        """Whether the labels are there and of the same origin."""
        return self.output.exists() and read_header(self.output) == self.header


@dataclass(frozen=True)
class ShardGroup:
    """Shards that one process labels in one go, and all that it needs for that."""

    parts: tuple[LabelPart, ...]
    codebook_dir: Path
    features: Features
    teacher_dir: Path | None
    plan: ExtractionPlan

    def __str__(self) -> str:
        first, last = self.parts[0].shard, self.parts[-1].shard
        return f"labels of {first}" + (f" to {last.name}" if len(self.parts) > 1 else "")


def label_shards(group: ShardGroup) -> None:
    """Write the labels of the shards of a share that have none yet."""
    parts = [part for part in group.parts if not part.is_made]
    if not parts:
        return
    if group.plan.device == "cpu" and multiprocessing.parent_process() is not None:
        torch.set_num_threads(1)  # one core is a worker's share
        faiss.omp_set_num_threads(1)
    plan = group.plan
    function = frame_function(group.features, group.teacher_dir, plan.device)
    labels_of = function.then(make_assign(read_centroids(group.codebook_dir), plan.device))
    with open_ordered_map(plan) as ordered_map:
        labels = _PendingLabels()
        for chunk, found in extract_batched(_read_chunks(parts, ordered_map, plan), labels_of, plan):
            labels.add(chunk, found)
            if chunk.is_last:
                labels.write(chunk.part)
                labels = _PendingLabels()


def take_gpu(number: int) -> None:
    """Make a GPU this process' own: what it calls "cuda" from now on."""
    torch.cuda.set_device(number)


@dataclass(frozen=True)
class _Chunk:
    """Consecutive utterances of a shard, without their sound."""

    part: LabelPart
    keys: tuple[str, ...]
    phones: tuple[tuple[Phone, ...] | None, ...]
    is_last: bool  # nothing of the shard is left


def _read_chunks(
    parts: Sequence[LabelPart], ordered_map: OrderedMap, plan: ExtractionPlan
) -> Iterator[tuple[_Chunk, list[Floats]]]:
    """All utterances of these shards; the next shard is being decoded while one ends."""
    # One shard ahead: what was read to be hashed is then still in memory.
    utterances = ordered_map(_unpack, _read_members(ordered_map(_check_part, parts, depth=1)))
    for part in parts:
        for chunk in chunks(iter(lambda: next(utterances), None), _num_samples, plan):
            keys, phones = zip(*((item.key, item.phones) for item in chunk), strict=True)
            yield _Chunk(part, keys, phones, is_last=False), [item.waveform for item in chunk]
        yield _Chunk(part, (), (), is_last=True), []


def _read_members(parts: Iterable[LabelPart]) -> Iterator[TarSample | None]:
    """What the tars hold, None where one ends."""
    for part in parts:
        yield from read_samples(part.shard)
        yield None


def _unpack(item: TarSample | None) -> Utterance | None:
    return None if item is None else decode_sample(item)


def _num_samples(utterance: Utterance) -> int:
    return len(utterance.waveform)


def _check_part(part: LabelPart) -> LabelPart:
    """The part, if its shard is the one that the header names."""
    if (found := sha256_of(part.shard)) != part.header.shard_sha256:
        raise BadDataError("CHECKSUM", f"sha256 {found}, expected {part.header.shard_sha256}; at {part.shard}")
    return part


@dataclass
class _PendingLabels:
    """What is known of a shard's labels so far."""

    keys: list[str] = field(default_factory=list)
    labels: list[Labels] = field(default_factory=list)
    tables: list[JointCounts] = field(default_factory=list)

    def add(self, chunk: _Chunk, found: Sequence[npt.NDArray[np.int16]]) -> None:
        header = chunk.part.header
        for key, phones, row in zip(chunk.keys, chunk.phones, found, strict=True):
            labels = row.view(np.uint16)
            refuse_unassigned(labels, key)
            self.keys.append(key)
            self.labels.append(labels)
            if phones:
                at_frames = labels[:: header.label_rate_hz // FRAME_RATE_HZ]
                self.tables.append(joint_counts(phones, at_frames, header.num_clusters))

    def write(self, part: LabelPart) -> None:
        if self.tables:  # first, so that labels that exist have their counts
            _write_counts(part.counts, merge_counts(self.tables))
        else:
            part.counts.unlink(missing_ok=True)
        write_labels(part.output, self.keys, self.labels, part.header)


def _write_counts(path: Path, joint: JointCounts) -> None:
    phone, label = np.nonzero(joint.counts)
    table = pa.table(
        {
            "phone": [joint.phones[number] for number in phone],
            "label": label.astype(np.uint16),
            "frames": joint.counts[phone, label],
        }
    )
    path.parent.mkdir(exist_ok=True)
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def read_counts(path: Path, num_clusters: int) -> JointCounts:
    """A shard's part of the joint table of phones and labels."""
    table = pq.read_table(path, page_checksum_verification=True)
    phones = table["phone"].to_pylist()
    names = tuple(sorted(set(phones)))
    row = {name: number for number, name in enumerate(names)}
    counts = np.zeros((len(names), num_clusters), np.int64)
    counts[[row[name] for name in phones], table["label"].to_numpy()] = table["frames"].to_numpy()
    return JointCounts(names, counts)
