"""Label the shards of one process: each shard in, one Parquet file of labels out.

1. Each tar is compared with its sha256, then its utterances are decoded; on a GPU plan, ahead and in threads.
2. The utterances of a shard are cut into chunks, which `wavlm.features.extract` sends to the device.
3. There each frame gets its label, so that 2 bytes per label come back and no features.
4. The labels of a shard are collected in the order of the tar, and its phones are counted.
5. When the last chunk of a shard is back, its label file is written.

A chunk never crosses two shards. So the labels of a shard do not depend on the shards beside it, nor on where an
earlier attempt was interrupted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from wavlm.corpus.layouts import Phone
from wavlm.errors import BadDataError
from wavlm.execution.ordered_map import OrderedMap, open_ordered_map
from wavlm.features.extract import ExtractionPlan, cut_chunks, extract_batched, one_thread
from wavlm.features.frame_function import frame_function
from wavlm.features.mfcc import Floats
from wavlm.labels.centroids import refuse_unassigned
from wavlm.labels.code_counts import count_codes, write_code_counts
from wavlm.labels.counts import counts_file, write_counts
from wavlm.labels.external import ExternalLabels
from wavlm.labels.facts import CodebookFacts
from wavlm.labels.files import Header, Labels, read_header, write_labels
from wavlm.labels.quality import JointCounts, joint_counts, merge_counts
from wavlm.labels.quantizers import read_assign
from wavlm.shards import TarSample, Utterance, decode_sample, hash_tar, read_samples
from wavlm.specs import UNKNOWN_LANGUAGE
from wavlm.specs.frames import FrameGrid
from wavlm.storage.files import is_whole, note_whole


@dataclass(frozen=True)
class LabelPart:
    """One shard to label."""

    shard: Path
    output: Path  # its label file
    header: Header

    @property
    def counts(self) -> Path:
        """The path of its table of phones and labels, which exists only if the shard has phones."""
        return counts_file(self.output)

    @property
    def is_done(self) -> bool:
        """Whether the label file is whole, with its table of phones, and comes from the same shard and codebook."""
        is_whole_file = self.output.exists() and read_header(self.output) == self.header and is_whole(self.output)
        return is_whole_file and (not self.counts.exists() or is_whole(self.counts))


@dataclass(frozen=True)
class ShardGroup:
    """Shards that one process labels in one go, and everything that it needs for that."""

    parts: tuple[LabelPart, ...]
    codebook_dir: Path
    codebook: CodebookFacts
    teacher_dir: Path | None
    plan: ExtractionPlan
    grid: FrameGrid  # of the network that is to learn the labels

    def __str__(self) -> str:
        first, last = self.parts[0].shard, self.parts[-1].shard
        return f"labels of {first}" + (f" to {last.name}" if len(self.parts) > 1 else "")


def label_shards(group: ShardGroup) -> None:
    """Write the label files of a group of shards, except those that are done.

    Raises BadDataError: CHECKSUM for a tar or codebook that was changed, LABEL_RANGE for features that are not finite,
    and the errors of `wavlm.shards.read_samples`.
    """
    parts = [part for part in group.parts if not part.is_done]
    if not parts:
        return
    faiss.omp_set_num_threads(1)  # as in `cluster`
    with one_thread(), open_ordered_map(group.plan.threads) as ordered_map:
        pending = _PendingLabels(group.grid)
        chunks = _read_chunks(parts, ordered_map, group)
        for chunk, labels in _label_chunks(group, chunks):
            pending.add(chunk, labels)
            if chunk.is_last:
                pending.write(chunk.part)
                pending = _PendingLabels(group.grid)


def take_gpu(number: int) -> None:
    """Make one GPU the device that this process calls "cuda" from now on.

    A worker of a cluster may see its own GPU alone, whatever its number on the machine is.
    """
    torch.cuda.set_device(number % torch.cuda.device_count())


def _label_chunks(
    group: ShardGroup, chunks: Iterable[tuple[_Chunk, list[Floats]]]
) -> Iterator[tuple[_Chunk, list[npt.NDArray[np.int16]]]]:
    """The labels of each utterance: found for its frames on the device of the plan, or those that others made."""
    features, device = group.codebook.features, group.plan.device
    if features is None:
        others = ExternalLabels(group.codebook_dir, group.codebook, group.grid)
        for chunk, waveforms in chunks:
            pairs = zip(chunk.keys, waveforms, strict=True)
            yield chunk, [others.of(key, len(waveform)).view(np.int16) for key, waveform in pairs]
        return
    function = frame_function(features, group.teacher_dir, device, group.grid)
    yield from extract_batched(chunks, function.then(read_assign(group.codebook_dir, device)), group.plan)


@dataclass(frozen=True)
class _Chunk:
    """Consecutive utterances of a shard, without their audio."""

    part: LabelPart
    keys: tuple[str, ...]
    phones: tuple[tuple[Phone, ...] | None, ...]
    languages: tuple[str, ...]
    is_last: bool


def _read_chunks(
    parts: Sequence[LabelPart], ordered_map: OrderedMap, group: ShardGroup
) -> Iterator[tuple[_Chunk, list[Floats]]]:
    """The utterances of these shards in chunks, with their waveforms. An empty chunk ends each shard."""
    # Only one shard is hashed ahead: when its members are read, the bytes are still in the page cache.
    checked = ordered_map(_check_sha256, parts, depth=1)
    decode = partial(_decode, sample_rate_hz=group.grid.sample_rate_hz)
    utterances = ordered_map(decode, _read_members(checked))
    for part in parts:
        for chunk in cut_chunks(_take_shard(utterances), _num_samples, group.plan):
            keys, phones = tuple(item.key for item in chunk), tuple(item.phones for item in chunk)
            languages = tuple(item.language or UNKNOWN_LANGUAGE for item in chunk)
            yield _Chunk(part, keys, phones, languages, is_last=False), [item.waveform for item in chunk]
        yield _Chunk(part, (), (), (), is_last=True), []


def _check_sha256(part: LabelPart) -> LabelPart:
    """The part itself; raises BadDataError if its tar is not the one that the header names."""
    try:
        found = hash_tar(part.shard)
    except FileNotFoundError:
        found = "no file"
    if found != part.header.shard_sha256:
        raise BadDataError(
            "CHECKSUM", f"sha256 {found}, expected {part.header.shard_sha256}; at {part.shard}; make the shards again"
        )
    return part


def _read_members(parts: Iterable[LabelPart]) -> Iterator[TarSample | None]:
    """The utterances of all tars, still encoded, and None where a tar ends."""
    for part in parts:
        yield from read_samples(part.shard)
        yield None


def _decode(item: TarSample | None, sample_rate_hz: int) -> Utterance | None:
    return None if item is None else decode_sample(item, sample_rate_hz)


def _take_shard(utterances: Iterator[Utterance | None]) -> Iterator[Utterance]:
    """The utterances up to the next None, which is taken too."""
    for utterance in utterances:
        if utterance is None:
            return
        yield utterance


def _num_samples(utterance: Utterance) -> int:
    return len(utterance.waveform)


@dataclass
class _PendingLabels:
    """The labels of a shard that have come back so far."""

    grid: FrameGrid
    keys: list[str] = field(default_factory=list)
    labels: list[Labels] = field(default_factory=list)
    tables: dict[str, list[JointCounts]] = field(default_factory=dict)  # by language; of one stream
    codes: dict[str, list[pa.Table]] = field(default_factory=dict)  # by language; of several streams

    def add(self, chunk: _Chunk, rows: Sequence[npt.NDArray[np.int16]]) -> None:
        """Add a chunk: the labels of each utterance, (F,) or (F, C), uint16 stored as int16."""
        header = chunk.part.header
        for key, phones, language, row in zip(chunk.keys, chunk.phones, chunk.languages, rows, strict=True):
            labels = row.view(np.uint16)
            refuse_unassigned(labels, key)
            self.keys.append(key)
            self.labels.append(labels)
            at_frames = labels[:: header.labels_per_frame]
            if phones and header.num_streams == 1:
                table = joint_counts(phones, at_frames, header.num_clusters, self.grid)
                self.tables.setdefault(language, []).append(table)
            elif phones:
                codes = count_codes(phones, at_frames, header.num_clusters, self.grid)
                self.codes.setdefault(language, []).append(codes)

    def write(self, part: LabelPart) -> None:
        """Write the table first: a label file that exists has its table."""
        if self.tables:
            write_counts(part.counts, {name: merge_counts(tables) for name, tables in self.tables.items()})
            note_whole(part.counts)
        elif self.codes:
            write_code_counts(part.counts, self.codes)
            note_whole(part.counts)
        else:
            part.counts.unlink(missing_ok=True)
        write_labels(part.output, self.keys, self.labels, part.header)
        note_whole(part.output)
