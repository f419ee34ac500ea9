"""The frames of a codebook's sample: a part reads some shards from front to back, once, and keeps frames in a file.

The parts follow from the sample alone, so the frames depend neither on the number of processes nor on what ran before.
A part whose file is whole is not made again. The files are temporary, and are removed when the folder is sealed.

Legend: F frames, D channels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from wavlm.execution.parts import run_parts
from wavlm.execution.progress import Progress, no_progress
from wavlm.features.extract import ExtractionPlan, cut_chunks, extract_batched, one_thread
from wavlm.features.frame_function import frame_function
from wavlm.features.mfcc import Floats
from wavlm.labels.cells import Cells, cut_parts, read_cells
from wavlm.labels.quotas import Integers
from wavlm.labels.sampling import Drawing
from wavlm.rng import rng_for
from wavlm.shards import Reader
from wavlm.shards.listing import find_listed, read_listing
from wavlm.specs import Features
from wavlm.specs.frames import PAPER_FRAMES, FrameGrid
from wavlm.specs.identity import canonical
from wavlm.storage.files import is_whole, note_whole, open_atomic
from wavlm.storage.seals import sealed_files

FOLDER = ".sample.partial"


@dataclass(frozen=True, eq=False)
class FramesPart:
    """Some utterances of a sample, in the order of their shards."""

    number: int
    path: Path  # its file of frames
    folder_of: tuple[int, ...]  # number of the corpus of each utterance
    rows: tuple[tuple[str, str, int, int], ...]  # key, shard, offset, size
    num_frames: tuple[int, ...]

    def __str__(self) -> str:
        return f"frames of {len(self.rows)} utterances from {self.rows[0][1]} on"


@dataclass(frozen=True)
class FramesWork:
    """What all parts of a sample share."""

    shards_dirs: tuple[Path, ...]
    features: Features
    teacher_dir: Path | None
    seed: int
    plan: ExtractionPlan
    grid: FrameGrid = PAPER_FRAMES


def sample_frames(
    drawing: Drawing, work: FramesWork, out: Path, workers: int = 1, progress: Progress = no_progress
) -> Floats:
    """The frames of a drawing, (F, D). Of each utterance a seeded, uniform choice over its whole length is kept.

    The files of the parts lie in a temporary folder in `out`.
    """
    if not len(drawing.rows):
        return np.zeros((0, 1), np.float32)
    cells = read_cells(work.shards_dirs, drawing)
    groups = cut_parts(cells)
    (out / FOLDER).mkdir(exist_ok=True)
    parts = list(_make_parts(groups, cells, drawing, work, out / FOLDER))
    run_parts(parts, partial(extract_part, work=work), min(workers, len(parts)), progress)
    return _assemble(parts, groups, drawing.num_frames)


def extract_part(part: FramesPart, work: FramesWork) -> None:
    """Write the frames of a part, unless its file is whole."""
    if is_whole(part.path):
        return
    with one_thread(), open_atomic(part.path) as file:
        np.save(file, np.concatenate(list(_choose_frames(part, work))))
    note_whole(part.path)


def _choose_frames(part: FramesPart, work: FramesWork) -> Iterator[Floats]:
    readers = [Reader(folder, sample_rate_hz=work.grid.sample_rate_hz) for folder in work.shards_dirs]
    function = frame_function(work.features, work.teacher_dir, work.plan.device, work.grid)
    waveforms = (
        readers[folder].read_at(shard, offset, size)
        for folder, (_, shard, offset, size) in zip(part.folder_of, part.rows, strict=True)
    )
    chunks = ((None, chunk) for chunk in cut_chunks(waveforms, len, work.plan))
    features = (rows for _, chunk in extract_batched(chunks, function, work.plan) for rows in chunk)
    for (key, *_), count, rows in zip(part.rows, part.num_frames, features, strict=True):
        chosen = rng_for(work.seed, "frames", key).choice(len(rows), count, replace=False)
        yield rows[np.sort(chosen)]


def _make_parts(
    groups: Sequence[Integers], cells: Cells, drawing: Drawing, work: FramesWork, folder: Path
) -> Iterator[FramesPart]:
    """A part per group. The name of its file digests all that its frames are made from."""
    sealed = sealed_files(work.teacher_dir) if work.teacher_dir else {}
    teacher = {name: file.sha256 for name, file in sealed.items()}
    # Each listing is read once: one of 10,000 tars takes 20 ms.
    listings = {number: read_listing(work.shards_dirs[number]) for number in np.unique(cells.folders).tolist()}
    for number, group in enumerate(groups):
        table, folders = cells.table.take(pa.array(group)), cells.folders[group].tolist()
        columns = [table[name].to_pylist() for name in ("key", "shard", "offset", "size")]
        counts = tuple(drawing.num_frames[group].tolist())
        places = sorted(set(zip(folders, columns[1], strict=True)))
        tars = [find_listed(listings[at], work.shards_dirs[at] / shard).sha256 for at, shard in places]
        said = [canonical(work.features), work.seed, work.plan.device, teacher, counts, tars, columns]
        said += [] if work.grid.is_standard else [canonical(work.grid)]
        digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()
        path = folder / f"{number:06d}-{digest[:16]}.npy"
        yield FramesPart(number, path, tuple(folders), tuple(zip(*columns, strict=True)), counts)


def _assemble(parts: Sequence[FramesPart], groups: Sequence[Integers], num_frames: Integers) -> Floats:
    """The frames of all parts in the order of the drawing, (F, D)."""
    ends = np.cumsum(num_frames)
    sample: Floats | None = None
    for part, group in zip(parts, groups, strict=True):
        frames = np.load(part.path, mmap_mode="r", allow_pickle=False)
        if sample is None:
            sample = np.empty((int(ends[-1]), frames.shape[1]), frames.dtype)
        at = 0
        for place in group.tolist():
            count = int(num_frames[place])
            sample[ends[place] - count : ends[place]] = frames[at : at + count]
            at += count
    assert sample is not None  # noqa: S101 - there is a part
    return sample
