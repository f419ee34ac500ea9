"""Sample the frames that a codebook is learned from: seeded, with a share per corpus, and speakers in turn.

Features are computed for whole utterances, because a hidden layer depends on all of its input and deltas on their
neighbours, and then a few frames of each are kept. So a sample of N frames decodes N / `frames_per_utterance`
utterances, or all if there are fewer. Features go straight into the sample and are never written to disk.

Legend: F frames, D channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wavlm.corpus.layouts import UNKNOWN_SPEAKER
from wavlm.execution.progress import Progress, no_progress
from wavlm.features.extract import ExtractionPlan, cut_chunks, extract_batched
from wavlm.features.frame_function import FrameFunction
from wavlm.features.mfcc import Floats
from wavlm.labels.quotas import Integers, Numbers, allot_corpora, allot_utterances, order_round_robin
from wavlm.rng import rng_for
from wavlm.shards import Reader, find_copies_of_valid, read_columns
from wavlm.specs import UNKNOWN_LANGUAGE, CodebookSpec, Group
from wavlm.specs.sampling import refuse_strangers
from wavlm.specs.shapes import num_labels


@dataclass(frozen=True)
class SampledUtterances:
    """Rows of the indexes of several shards folders. All arrays have one entry per row."""

    folders: tuple[Path, ...]
    table: pa.Table  # key, shard, offset, size, samples, speaker, and language if it is wanted
    folder: Integers  # number in `folders`, one folder per corpus
    # Numbered over all folders: the same name in two folders is two speakers. An utterance of an unknown speaker is a
    # speaker of its own.
    speaker: Integers
    num_samples: Integers
    copies_of_valid: int  # rows of train that are left out, because their content is in a valid split

    @property
    def samples_per_folder(self) -> Integers:
        """Samples of audio of each corpus, (folders,)."""
        return np.array([self.num_samples[self.folder == number].sum() for number in range(len(self.folders))])

    def split_languages(self, names: Sequence[str]) -> tuple[SampledUtterances, tuple[Group, ...]]:
        """The same rows, as if each language of a corpus were a folder of its own; and what each is of.

        names: of the corpora. Languages that are not wanted are not known.
        """
        if "language" not in self.table.column_names:
            return self, tuple(Group(name, UNKNOWN_LANGUAGE) for name in names)
        column = self.table["language"].combine_chunks().dictionary_encode()
        languages = [name or UNKNOWN_LANGUAGE for name in column.dictionary.to_pylist()]
        pairs = [Group(name, language) for name in names for language in languages]
        pair = self.folder * len(languages) + column.indices.to_numpy()
        there, folder = np.unique(pair, return_inverse=True)
        folders = tuple(self.folders[place // len(languages)] for place in there.tolist())
        return replace(self, folders=folders, folder=folder), tuple(pairs[place] for place in there.tolist())


@dataclass(frozen=True)
class Drawing:
    """What a sample is made of. Both arrays have one entry per utterance."""

    rows: Integers  # of `SampledUtterances`
    num_frames: Integers  # how many frames of it are taken


def read_utterances(shards_dirs: Sequence[Path], split: str, *, languages: bool = False) -> SampledUtterances:
    """All utterances of a split, in the order of the folders and their indexes; of train without copies of valid.

    languages: whether the language of each is wanted.
    """
    columns = ["key", "shard", "offset", "size", "samples", "speaker", *(["language"] if languages else [])]
    tables: list[pa.Table] = []
    speakers: list[Integers] = []
    copies = find_copies_of_valid(shards_dirs) if split == "train" else ()
    for number, shards_dir in enumerate(shards_dirs):
        table = read_columns(shards_dir, [*columns, "split"])
        chosen = table["split"].to_numpy() == split
        table = table.select(columns).filter(pa.array(chosen & ~copies[number] if copies else chosen))
        first = max((int(ids.max()) + 1 for ids in speakers if len(ids)), default=0)
        speakers.append(_number_speakers(table["speaker"]) + first)
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


def draw_shares(
    utterances: SampledUtterances,
    train: SampledUtterances,
    names: Sequence[str],
    rate_hz: int,
    num_frames: int,
    spec: CodebookSpec,
) -> Drawing:
    """`draw_utterances` with the shares of the spec, or those of the hours of `train`. names: of the corpora.

    Raises UsageError (SAMPLING) if there is no speech of what has a weight.
    """
    if spec.sampling is None:
        weights = np.array(spec.shares or train.samples_per_folder, np.float64)
        return draw_utterances(utterances, rate_hz, num_frames, weights, spec)
    there, groups = train.split_languages(names)
    refuse_strangers(spec.sampling, groups, "codebook.sampling")
    shares = spec.sampling.shares(dict(zip(groups, there.samples_per_folder.tolist(), strict=True)))
    parts, groups = utterances.split_languages(names)
    weights = np.array([shares.get(group, 0.0) for group in groups])
    return draw_utterances(parts, rate_hz, num_frames, weights, spec)


def draw_utterances(
    utterances: SampledUtterances, rate_hz: int, num_frames: int, weights: Numbers, spec: CodebookSpec
) -> Drawing:
    """Which utterances give how many frames to a sample of `num_frames`. weights (folders,): the share of each corpus.

    The shares and turns are those of `wavlm.labels.quotas`.
    """
    lengths = num_labels(utterances.num_samples, rate_hz)
    available = np.array([lengths[utterances.folder == number].sum() for number in range(len(utterances.folders))])
    rows, counts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for number, quota in enumerate(allot_corpora(num_frames, available, weights).tolist()):
        of_folder = np.flatnonzero(utterances.folder == number)
        order = of_folder[order_round_robin(utterances.speaker[of_folder], rng_for(spec.seed, "sample", number))]
        taken = allot_utterances(lengths[order], quota, spec.frames_per_utterance)
        counts.append(taken)
        rows.append(order[: len(taken)])
    return Drawing(np.concatenate(rows), np.concatenate(counts))


def sample_frames(
    utterances: SampledUtterances,
    drawing: Drawing,
    function: FrameFunction,
    seed: int,
    plan: ExtractionPlan,
    progress: Progress = no_progress,
) -> Floats:
    """The frames of a drawing, (F, D). Of each utterance a seeded, uniform choice over its whole length is kept."""
    kept = [np.zeros((0, 1), np.float32)] if not len(drawing.rows) else []
    extracted = _extract_features(utterances, drawing.rows, function, plan)
    for row, count, features in zip(drawing.rows, drawing.num_frames, extracted, strict=True):
        key = utterances.table["key"][int(row)].as_py()
        chosen = rng_for(seed, "frames", key).choice(len(features), count, replace=False)
        kept.append(features[np.sort(chosen)])
        progress(len(kept), len(drawing.rows))
    return np.concatenate(kept)


def _number_speakers(speakers: pa.ChunkedArray) -> Integers:
    """A number for each row: the same for rows of one speaker, another for each row whose speaker is unknown."""
    names = pc.fill_null(speakers, UNKNOWN_SPEAKER)
    is_unknown = pc.is_in(names, value_set=pa.array(["", UNKNOWN_SPEAKER])).to_numpy()
    codes = names.combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    codes[is_unknown] = len(codes) + np.flatnonzero(is_unknown)
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)


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
