"""Labelled utterances by number: crops read from the shards, labels read from one flat file.

Legend: B utterances, N samples, F frames, U utterances of a corpus.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from wavlm.errors import BadDataError
from wavlm.execution.job import LabelledShards, name_corpora
from wavlm.labels.flat import open_flat_labels
from wavlm.loader.groups import read_groups
from wavlm.loader.sampler import Integers, MicroBatch
from wavlm.mixing.audio_pool import Split
from wavlm.shards import Reader, find_copies_of_valid, read_index
from wavlm.shards.flac import Pcm16
from wavlm.specs import HOP_SAMPLES, SAMPLE_RATE_HZ, TrainSpec
from wavlm.specs.shapes import num_frames, samples_of

Labels = npt.NDArray[np.uint16]
Strings = npt.NDArray[np.object_]

CACHE = ".cache"  # folder in the job's `out` for the flat labels; not part of the model


class LabelledUtterances:
    """The labelled utterances of one split of all corpora, numbered in the order of the job.

    Utterances of train whose content is in the valid split of any of the corpora are left out.
    Only the index columns that reading needs are kept in memory. 94,000 hours are 30 million utterances, and their
    whole index takes 7 GB.
    """

    def __init__(self, data: Sequence[LabelledShards], split: Split, cache: Path) -> None:
        self._folders = [item.shards for item in data]
        self._readers = [Reader(folder) for folder in self._folders]
        self._labels = open_flat_labels([item.labels for item in data], self._folders, cache)
        indexes = [read_index(folder) for folder in self._folders]
        rows = [index.rows_of(split) for index in indexes]
        copies = find_copies_of_valid(self._folders) if split == "train" else ()
        self.copies_of_valid = sum(int(mask.sum()) for mask in copies)
        rows = [chosen[~mask[chosen]] for chosen, mask in zip(rows, copies, strict=True)] if copies else rows
        self.groups = read_groups(name_corpora(data), self._folders, rows)
        self._corpus = self.groups.corpus
        self._row = np.concatenate(rows)
        chosen = list(zip(indexes, rows, strict=True))
        self._shards: Strings = np.concatenate([item.shards[of] for item, of in chosen])
        self._offsets: Integers = np.concatenate([item.offsets[of] for item, of in chosen])
        self._sizes: Integers = np.concatenate([item.sizes[of] for item, of in chosen])
        self.num_samples: Integers = np.concatenate([item.samples[of] for item, of in chosen])
        self.keys: Strings = np.concatenate([item.keys[of] for item, of in chosen])

    def __len__(self) -> int:
        return len(self._row)

    def numbers_of(self, corpus: int | None, languages: Collection[str] = ()) -> Integers:
        """The numbers of the utterances of one corpus, by its place in the job's data, or of some languages."""
        if corpus is not None:
            return np.flatnonzero(self._corpus == corpus)
        chosen = [number for number, name in enumerate(self.groups.languages) if name in languages]
        return np.flatnonzero(np.isin(self.groups.language, chosen))

    def fill(self, pcm: Pcm16, numbers: Integers, first_frames: Sequence[int]) -> None:
        """Fill `pcm` (B, N) with the crops of these utterances that begin at these frames.

        Raises BadDataError with key and shard for what cannot be read.
        """
        # Lists, because taking single numbers out of arrays costs more than looking them up.
        corpora, shards = self._corpus[numbers].tolist(), self._shards[numbers].tolist()
        offsets, sizes = self._offsets[numbers].tolist(), self._sizes[numbers].tolist()
        locations = zip(pcm, corpora, shards, offsets, sizes, first_frames, strict=True)
        for row, (crop, corpus, shard, offset, size, first) in enumerate(locations):
            try:
                self._readers[corpus].fill_at(crop, shard, offset, size, first * HOP_SAMPLES)
            except (BadDataError, ValueError, OSError) as error:
                code = error.code if isinstance(error, BadDataError) else "UNREADABLE"
                text = str(error).removeprefix(f"{code}: ")
                key, where = self.keys[numbers[row]], self._folders[corpus] / shard
                raise BadDataError(code, f"{text}; at utterance {key} of {where}; make the shards again") from error

    def labels(self, numbers: Integers, first_frames: Sequence[int], frames: int) -> Labels:
        """Labels (B, F) of each of these utterances, from its first frame on."""
        corpora, rows = self._corpus[numbers].tolist(), self._row[numbers].tolist()
        labels = np.empty((len(numbers), frames), np.uint16)
        locations = zip(corpora, rows, first_frames, strict=True)
        for number, (corpus, row, first) in enumerate(locations):
            labels[number] = self._labels.of(corpus, row)[first : first + frames]
        return labels

    @property
    def sha256s(self) -> Strings:
        """Hex sha256 of each utterance's FLAC, (U,): its identity, whatever its key. Each call reads the indexes."""
        indexes = [read_index(folder) for folder in self._folders]
        return np.array([indexes[c].sha256s[r] for c, r in zip(self._corpus, self._row, strict=True)], object)

    @property
    def digest(self) -> str:
        """Hex sha256 of the keys, in order."""
        digest = hashlib.sha256()
        for key in self.keys:
            digest.update(f"{key}\n".encode())
        return digest.hexdigest()


class UtteranceSource(Protocol):
    """Utterances by number, whose crops and labels can be read."""

    def fill(self, pcm: Pcm16, numbers: Integers, first_frames: Sequence[int]) -> None:
        """Fill `pcm` (B, N) with the crops of these utterances that begin at these frames."""
        ...

    def labels(self, numbers: Integers, first_frames: Sequence[int], frames: int) -> Labels:
        """Labels (B, F) of each of these utterances, from its first frame on."""
        ...


def read_crops(source: UtteranceSource, micro_batch: MicroBatch, firsts: Sequence[int]) -> tuple[Pcm16, Labels]:
    """Samples (B, N) and labels (B, F) of the crops of a micro-batch that begin at these frames."""
    pcm = np.empty((len(micro_batch.utterances), samples_of(micro_batch.num_frames)), np.int16)
    source.fill(pcm, micro_batch.utterances, firsts)
    return pcm, source.labels(micro_batch.utterances, firsts, micro_batch.num_frames)


def frames_of_crops(utterance_samples: Integers, train: TrainSpec) -> Integers:
    """Frames (U,) of the longest crop of each utterance, from the utterances' samples (U,)."""
    longest_s = min(train.max_crop_seconds, train.group_seconds)
    limited = np.minimum(utterance_samples, int(longest_s * SAMPLE_RATE_HZ))
    lengths, inverse = np.unique(limited, return_inverse=True)
    return np.array([num_frames(int(length)) for length in lengths], dtype=np.int64)[inverse]
