"""Labelled utterances by number: crops read from the shards, labels read from one flat file.

Legend: B utterances, N samples, F frames, U utterances of a split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from wavlm.corpus.audio.reason import AudioError
from wavlm.errors import BadDataError
from wavlm.execution.job import LabelledShards, TrainJob, name_corpora
from wavlm.labels.flat import open_flat_labels
from wavlm.loader.epochs import Integers, MicroBatch
from wavlm.loader.groups import Groups
from wavlm.loader.index import open_index
from wavlm.loader.staging import StagedWindows, TarSegment
from wavlm.loader.windows import Windows, cut_shards
from wavlm.mixing.audio_pool import Split
from wavlm.shards import Reader, listing_path
from wavlm.shards.flac import Pcm16, decode_flac_into
from wavlm.shards.listing import read_sample_rate
from wavlm.shards.reader import most_open_files
from wavlm.specs import TrainSpec
from wavlm.specs.frames import PAPER_FRAMES, FrameGrid
from wavlm.storage.columns import ColumnWriter, open_columns

Labels = npt.NDArray[np.uint16]
Array = npt.NDArray[Any]

MOST_IN_16_BITS = 65_535
WRITTEN_TOGETHER = 1 << 20  # utterances
CACHE = ".cache"  # folder in the job's `out` for flat labels and columns; not part of the model


def cache_of(job: TrainJob) -> Path:
    """Where a machine keeps what it makes of the data of a job: on its scratch disk if it has one."""
    return Path(job.runtime.scratch) / f"wavlm-{job.key}" if job.runtime.scratch else job.out / CACHE


class LabelledUtterances:
    """The labelled utterances of one split of all corpora, numbered in the order of the job.

    Utterances of train whose content is in the valid split of any of the corpora are left out. What is kept of each
    utterance is in columns that all processes of a machine share (wavlm.loader.index), in the folder `cache`.
    check: compare the columns with their digests. One process of a machine is enough for that.
    """

    def __init__(
        self,
        data: Sequence[LabelledShards],
        split: Split,
        cache: Path,
        grid: FrameGrid | None = None,
        *,
        check: bool = True,
    ) -> None:
        """grid: the frames of the network; None: 25 ms every 20 ms."""
        self._folders = [item.shards for item in data]
        most_open = most_open_files(len(data))
        self.grid = grid or FrameGrid.standard(read_sample_rate(*self._folders))
        self._hop = self.grid.hop_samples
        self._readers = [Reader(folder, most_open, self.grid.sample_rate_hz) for folder in self._folders]
        labels = [item.labels for item in data if item.labels is not None]
        other = None if self.grid.is_standard else self.grid
        self._labels = open_flat_labels(labels, self._folders, cache, other, check=check) if labels else None
        self._index = index = open_index(self._folders, split, cache, check=check)
        self._check, self.cache = check, cache
        self._staged: StagedWindows | None = None
        self.copies_of_valid = index.copies_of_valid
        self.groups = Groups(name_corpora(data), index.languages, index.columns["corpus"], index.columns["language"])
        self.keys = index.keys
        self.num_samples: Array = index.columns["samples"]

    def __len__(self) -> int:
        return len(self._index)

    def keys_of(self, numbers: Integers) -> tuple[str, ...]:
        """The keys of these utterances."""
        return self.keys[numbers]

    def numbers_of(self, corpus: int | None, languages: Collection[str] = ()) -> Integers:
        """The numbers of the utterances of one corpus, by its place in the job's data, or of some languages."""
        if corpus is not None:
            return np.flatnonzero(self.groups.corpus == corpus)
        chosen = [number for number, name in enumerate(self.groups.languages) if name in languages]
        return np.flatnonzero(np.isin(self.groups.language, chosen))

    def fill(self, pcm: Pcm16, numbers: Integers, first_frames: Sequence[int]) -> None:
        """Fill `pcm` (B, N) with the crops of these utterances that begin at these frames.

        Raises BadDataError with key and shard for what cannot be read.
        """
        # Lists, because taking single numbers out of arrays costs more than looking them up.
        columns, shards = self._index.columns, self._index.shards
        names = ("corpus", "shard", "offset", "size")
        corpora, numbered, offsets, sizes = (columns[name][numbers].tolist() for name in names)
        of_shards = [shards[corpus][number] for corpus, number in zip(corpora, numbered, strict=True)]
        locations = zip(pcm, corpora, of_shards, offsets, sizes, first_frames, strict=True)
        for row, (crop, corpus, shard, offset, size, first) in enumerate(locations):
            try:
                if not self._fill_staged(crop, int(numbers[row]), (offset, size), first * self._hop):
                    self._readers[corpus].fill_at(crop, shard, offset, size, first * self._hop)
            except (BadDataError, ValueError) as error:
                code = error.code if isinstance(error, BadDataError) else "UNREADABLE"
                text = str(error).removeprefix(f"{code}: ")
                key, where = self.keys[numbers[row]], self._folders[corpus] / shard
                raise BadDataError(code, f"{text}; at utterance {key} of {where}; make the shards again") from error

    def _fill_staged(self, crop: Pcm16, number: int, place: tuple[int, int], start: int) -> bool:
        """Fill a crop of an utterance from the copy of its window. Whether that was possible: else the store has it."""
        if self._staged is None:
            return False
        blob = self._staged.read(int(np.searchsorted(self._segment_ends, number, side="right")), *place)
        if blob is None:
            return False
        try:
            decode_flac_into(blob, start, crop, self.grid.sample_rate_hz)
        except AudioError:  # of the copy, or of the tar itself, which the store's reader then names
            return False
        return True

    def labels(self, numbers: Integers, first_frames: Sequence[int], frames: int) -> Labels:
        """Labels (B, F) of each of these utterances, from its first frame on; of C > 1 streams (B, F, C).

        They are all 0 if the data have none.
        """
        if self._labels is None:
            return np.zeros((len(numbers), frames), np.uint16)
        corpora, rows = (self._index.columns[name][numbers].tolist() for name in ("corpus", "row"))
        streams = (self._labels.num_streams,) if self._labels.num_streams > 1 else ()
        labels = np.empty((len(numbers), frames, *streams), np.uint16)
        locations = zip(corpora, rows, first_frames, strict=True)
        for number, (corpus, row, first) in enumerate(locations):
            labels[number] = self._labels.of(corpus, row)[first : first + frames]
        return labels

    def frames_of_crops(self, train: TrainSpec) -> Array:
        """Frames (U,) of the longest crop of each utterance, in a column that is shared as the others are."""
        longest = _longest_crop(train, self.grid)
        folder = self._index.columns.folder
        name = folder.with_name(f"{folder.name}-frames-{longest}")
        return open_columns(name, partial(_write_frames, self.num_samples, train, self.grid), check=self._check)[
            "frames"
        ]

    def read_staged(self, folder: Path) -> None:
        """Read what a `Stager` has copied to this folder from there; else, of what is in a mirror, parts of tars."""
        self._staged = StagedWindows(folder)
        for reader in self._readers:
            reader.by_ranges = True

    def describe_segments(self, numbers: Sequence[int]) -> list[TarSegment]:
        """These segments, which are numbered through all corpora."""
        columns, ends, found = self._index.columns, self._segment_ends, []
        for number in numbers:
            first, last = (int(ends[number - 1]) if number else 0), int(ends[number]) - 1
            corpus = int(columns["corpus"][first])
            name = self._index.shards[corpus][int(columns["shard"][first])]
            begin, end = int(columns["offset"][first]), int(columns["offset"][last]) + int(columns["size"][last])
            found.append(TarSegment(number, self._folders[corpus] / name, begin, end - begin))
        return found

    def plan_windows(self, train: TrainSpec) -> Windows | None:
        """The windows of an epoch; None if it is one window."""
        ends = self._index.columns["shard_ends"].astype(np.int64)
        if not train.window_shards or len(ends) <= train.window_shards:
            return None
        corpora = np.repeat(np.arange(len(self.folders)), list(map(len, self._index.shards)))
        return Windows.of_shards(ends, corpora, train.window_shards, train.seed)

    @cached_property
    def _segment_ends(self) -> Integers:
        """The number behind the last utterance of each segment."""
        return cut_shards(self._index.columns["shard_ends"].astype(np.int64))

    @property
    def folders(self) -> tuple[Path, ...]:
        """Of the shards, in the order of the job."""
        return tuple(self._folders)

    @property
    def tars(self) -> list[tuple[Path, str]]:
        """Folder and name of all tars."""
        of_corpora = zip(self._folders, self._index.shards, strict=True)
        return [(folder, name) for folder, names in of_corpora for name in names]

    @property
    def sha256s(self) -> npt.NDArray[np.void]:
        """Of each utterance's FLAC, (U,): its identity, whatever its key. Of held-out speech only."""
        return self._index.sha256s

    @property
    def footers(self) -> tuple[bytes, ...]:
        """For each corpus a digest of its files of labels; without labels of its listing of shards."""
        if self._labels is None:
            return tuple(hashlib.sha256(listing_path(folder).read_bytes()).digest() for folder in self._folders)
        return self._labels.footers

    @property
    def digest(self) -> str:
        """Hex sha256 of the keys, in order."""
        return self._index.digest


class UtteranceSource(Protocol):
    """Utterances by number, whose crops and labels can be read."""

    @property
    def grid(self) -> FrameGrid: ...

    def fill(self, pcm: Pcm16, numbers: Integers, first_frames: Sequence[int]) -> None:
        """Fill `pcm` (B, N) with the crops of these utterances that begin at these frames."""
        ...

    def labels(self, numbers: Integers, first_frames: Sequence[int], frames: int) -> Labels:
        """Labels (B, F) of each of these utterances, from its first frame on."""
        ...


def read_crops(source: UtteranceSource, micro_batch: MicroBatch, firsts: Sequence[int]) -> tuple[Pcm16, Labels]:
    """Samples (B, N) and labels (B, F) of the crops of a micro-batch that begin at these frames."""
    num_samples = source.grid.samples_of(micro_batch.num_frames)
    pcm = np.empty((len(micro_batch.utterances), num_samples), np.int16)
    source.fill(pcm, micro_batch.utterances, firsts)
    return pcm, source.labels(micro_batch.utterances, firsts, micro_batch.num_frames)


def frames_of_crops(utterance_samples: Array, train: TrainSpec, grid: FrameGrid = PAPER_FRAMES) -> Integers:
    """Frames (U,) of the longest crop of each utterance, from the utterances' samples (U,)."""
    return grid.count(np.minimum(utterance_samples, _longest_crop(train, grid)))


def _longest_crop(train: TrainSpec, grid: FrameGrid) -> int:
    """Samples of the longest crop."""
    return int(min(train.max_crop_seconds, train.group_seconds) * grid.sample_rate_hz)


def _write_frames(
    utterance_samples: Array, train: TrainSpec, grid: FrameGrid, writer: ColumnWriter
) -> dict[str, JsonValue]:
    longest = np.array([_longest_crop(train, grid)])
    dtype = "<u2" if frames_of_crops(longest, train, grid)[0] <= MOST_IN_16_BITS else "<u4"
    writer.append("frames", np.empty(0, dtype), dtype)
    for begin in range(0, len(utterance_samples), WRITTEN_TOGETHER):
        part = utterance_samples[begin : begin + WRITTEN_TOGETHER]
        writer.append("frames", frames_of_crops(part, train, grid), dtype)
    return {}
