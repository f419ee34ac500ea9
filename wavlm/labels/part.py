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
from wavlm.features.extract import Each, Plan, decoding, sweep, windows
from wavlm.features.frames import Floats, frame_function
from wavlm.labels.assign import nearest, refuse_unassigned
from wavlm.labels.codebook import read_centroids
from wavlm.labels.files import Header, Labels, read_header, write_labels
from wavlm.labels.quality import JointCounts, joint_counts, merged
from wavlm.shards import Packed, Utterance, packed, unpack
from wavlm.specs import Features
from wavlm.specs.shapes import FRAME_RATE_HZ
from wavlm.storage.files import replaced, sha256_of


@dataclass(frozen=True)
class Part:
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
class Share:
    """Shards that one process labels in one go, and all that it needs for that."""

    parts: tuple[Part, ...]
    codebook_dir: Path
    features: Features
    teacher_dir: Path | None
    plan: Plan

    def __str__(self) -> str:
        first, last = self.parts[0].shard, self.parts[-1].shard
        return f"labels of {first}" + (f" to {last.name}" if len(self.parts) > 1 else "")


def label_share(share: Share) -> None:
    """Write the labels of the shards of a share that have none yet."""
    parts = [part for part in share.parts if not part.is_made]
    if not parts:
        return
    if share.plan.device == "cpu" and multiprocessing.parent_process() is not None:
        torch.set_num_threads(1)  # one core is a worker's share
        faiss.omp_set_num_threads(1)
    plan = share.plan
    function = frame_function(share.features, share.teacher_dir, plan.device)
    labels_of = function.then(nearest(read_centroids(share.codebook_dir), plan.device))
    with decoding(plan) as each:
        pending = _Labelled()
        for window, found in sweep(_windows(parts, each, plan), labels_of, plan):
            pending.add(window, found)
            if window.is_last:
                pending.write(window.part)
                pending = _Labelled()


def take_gpu(number: int) -> None:
    """Make a GPU this process' own: what it calls "cuda" from now on."""
    torch.cuda.set_device(number)


@dataclass(frozen=True)
class _Window:
    """Consecutive utterances of a shard, without their sound."""

    part: Part
    keys: tuple[str, ...]
    phones: tuple[tuple[Phone, ...] | None, ...]
    is_last: bool  # nothing of the shard is left


def _windows(parts: Sequence[Part], each: Each, plan: Plan) -> Iterator[tuple[_Window, list[Floats]]]:
    """All utterances of these shards; the next shard is being decoded while one ends."""
    # One shard ahead: what was read to be hashed is then still in memory.
    utterances = each(_unpacked, _members(each(_checked, parts, depth=1)))
    for part in parts:
        for window in windows(iter(lambda: next(utterances), None), _num_samples, plan):
            keys, phones = zip(*((item.key, item.phones) for item in window), strict=True)
            yield _Window(part, keys, phones, is_last=False), [item.waveform for item in window]
        yield _Window(part, (), (), is_last=True), []


def _members(parts: Iterable[Part]) -> Iterator[Packed | None]:
    """What the tars hold, None where one ends."""
    for part in parts:
        yield from packed(part.shard)
        yield None


def _unpacked(item: Packed | None) -> Utterance | None:
    return None if item is None else unpack(item)


def _num_samples(utterance: Utterance) -> int:
    return len(utterance.waveform)


def _checked(part: Part) -> Part:
    """The part, if its shard is the one that the header names."""
    if (found := sha256_of(part.shard)) != part.header.shard_sha256:
        raise BadDataError("CHECKSUM", f"sha256 {found}, expected {part.header.shard_sha256}; at {part.shard}")
    return part


@dataclass
class _Labelled:
    """What is known of a shard's labels so far."""

    keys: list[str] = field(default_factory=list)
    labels: list[Labels] = field(default_factory=list)
    tables: list[JointCounts] = field(default_factory=list)

    def add(self, window: _Window, found: Sequence[npt.NDArray[np.int16]]) -> None:
        header = window.part.header
        for key, phones, row in zip(window.keys, window.phones, found, strict=True):
            labels = row.view(np.uint16)
            refuse_unassigned(labels, key)
            self.keys.append(key)
            self.labels.append(labels)
            if phones:
                at_frames = labels[:: header.label_rate_hz // FRAME_RATE_HZ]
                self.tables.append(joint_counts(phones, at_frames, header.num_clusters))

    def write(self, part: Part) -> None:
        if self.tables:  # first, so that labels that exist have their counts
            _write_counts(part.counts, merged(self.tables))
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
    with replaced(path) as temporary:
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
