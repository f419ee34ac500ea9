"""Features of many examples, computed in parts, and kept in files that are named by what they hold.

The files of a part are those of `wavlm.evaluation.features.part`. The digest in their names is of the subject, the
examples' audio and the form. So evaluations share features, whichever task they are of, and nothing has to be
invalidated. Files that were not used longest are deleted where there are too many bytes. Each evaluation compares the
digests of the files that it uses, once: a part with a damaged one is computed again.

Legend: E examples, S states, F frames, D channels.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Example
from wavlm.evaluation.features.part import Array, FeatureGroup, FeaturePart, compute_features, take_gpu
from wavlm.evaluation.features.states import Subject
from wavlm.evaluation.held import KeyRows, choose_examples
from wavlm.execution.parts import run_parts
from wavlm.execution.progress import Progress
from wavlm.features.extract import ExtractionPlan, extraction_plan, release_gpu_memory
from wavlm.features.mfcc import Floats
from wavlm.storage.files import is_whole, remove_noted

FORMAT = 2  # 2: a part with a value that float16 cannot hold is exact
PART_SECONDS = 600.0  # of audio: a part is what one worker computes at a time, and is lost if it is killed
SECONDS_PER_WORKER = 120.0  # starting a worker costs some seconds
SECONDS_PER_GPU = 3600.0  # the same for a process with its own GPU

logger = logging.getLogger(__name__)


class Features:
    """The features of the examples of an evaluation. Frames are read from the disk when they are asked for.

    All files are opened at once: what is deleted from the cache later is still there for this evaluation.
    """

    def __init__(self, parts: Iterable[FeaturePart]) -> None:
        parts = tuple(parts)
        self._rows_of = KeyRows(item.examples for item in parts)
        ends, numbers = [], []
        self._open: list[Array] = []
        self._norms: list[Array] = []
        for number, part in enumerate(parts):
            # Slices of a memmap cost ten times as much as those of an array.
            self._open.append(np.asarray(_load(part.path, mapped=True)))
            self._norms.append(np.asarray(_load(part.norms, mapped=True)))
            ends.append(np.cumsum(_load(part.counts)))
            numbers.append(np.full(len(part.examples), number, np.int32))
        # In columns: an evaluation may have a million examples.
        self._numbers, self._stops = np.concatenate(numbers), np.concatenate(ends)
        self._starts = np.concatenate([np.concatenate([[0], item[:-1]]) for item in ends])
        self._firsts = np.concatenate([[0], np.cumsum([len(item.examples) for item in parts])])

    def read(self, key: str) -> Floats:
        """The states of an example: (S, F, D), where F is 1 if they are pooled; float32."""
        rows: Floats = self._rows(key).astype(np.float32)
        return rows.transpose(1, 0, 2)

    def read_state(self, key: str, state: int) -> Floats:
        """One state of an example, (F, D); float32."""
        found: Floats = self._rows(key)[:, state].astype(np.float32)
        return found

    def count(self, key: str) -> int:
        """The number of frames of an example."""
        row = self._rows_of[key]
        return int(self._stops[row] - self._starts[row])

    def _rows(self, key: str) -> Array:
        row = self._rows_of[key]
        found: Array = self._open[self._numbers[row]][self._starts[row] : self._stops[row]]
        return found

    def mean_norms(self, keys: Iterable[str]) -> npt.NDArray[np.float64]:
        """The mean L2 norm of the frames of each state, (S,), over these examples, each counting alike."""
        rows = (self._rows_of[key] for key in keys)
        norms = [self._norms[self._numbers[row]][row - self._firsts[self._numbers[row]]] for row in rows]
        found: npt.NDArray[np.float64] = np.mean(np.array(norms, dtype=np.float64), axis=0)
        return found


def prepare_features(  # noqa: PLR0913 - what, of what, where, how
    examples: Sequence[Example],
    subject: Subject,
    shards: Mapping[str, Path],
    cache: Path,
    plan: ExtractionPlan,
    progress: Progress,
    *,
    is_pooled: bool,
) -> Features:
    """The features of all examples; what the cache does not hold is computed, by the executor in use.

    shards: the folders of shards that the examples' audio is in, by their keys, in the order of their numbers.
    Raises the errors of `compute_features`.
    """
    cache.mkdir(parents=True, exist_ok=True)
    parts = list(_cut(examples, subject, shards, cache, is_pooled=is_pooled))
    # Now: another run deletes what was not used longest.
    is_there = [_note_use(part) and _is_undamaged(part) for part in parts]
    while True:
        missing = [part for part, found in zip(parts, is_there, strict=True) if not found]
        processes = _num_processes(sum(item.seconds for part in missing for item in part.examples), plan)
        # All parts if one is missing: jobs that share them have to count them alike.
        groups = _group(parts, processes * plan.groups_per_process) if missing else []
        run_parts(groups, compute_features, processes, progress, None if plan.device == "cpu" else take_gpu)
        is_there = [_note_use(part) for part in parts]
        if all(is_there):
            break
    release_gpu_memory(plan)
    return Features(parts)


def plan_features(subject: Subject, workers: int = 1, gpus: int = 0, *, is_elsewhere: bool = False) -> ExtractionPlan:
    """How a machine computes features: on its GPUs, or on cores for baselines without a network."""
    if subject.is_plain:
        return extraction_plan(workers, gpus=0, is_elsewhere=True)  # cores, whatever GPUs there are
    return extraction_plan(workers, gpus, is_elsewhere=is_elsewhere)


def _note_use(part: FeaturePart) -> bool:
    """Note that a part is used just now. False if it is not whole: what is left of it goes, so that it is computed."""
    try:
        for path in (part.counts, part.norms, part.path):
            os.utime(path)
    except FileNotFoundError:
        part.path.unlink(missing_ok=True)
        return False
    return True


def _is_undamaged(part: FeaturePart) -> bool:
    """Whether the files of a part are those that were written. If not, the last one goes, as above."""
    if all(is_whole(path) for path in (part.counts, part.norms, part.path)):
        return True
    logger.warning("features that are damaged, or of an earlier version, are computed again; at %s", part.path)
    part.path.unlink(missing_ok=True)
    return False


def _num_processes(seconds: float, plan: ExtractionPlan) -> int:
    """As many as the plan has, but no more than so much audio is worth."""
    enough = seconds / (SECONDS_PER_WORKER if plan.device == "cpu" else SECONDS_PER_GPU)
    return min(plan.processes, max(1, int(enough)))


def _group(parts: Sequence[FeaturePart], num_groups: int) -> list[FeatureGroup]:
    """Consecutive parts in at most that many groups of about the same size; with 0, each is one."""
    num_groups = min(num_groups or len(parts), len(parts))
    edges = [len(parts) * number // num_groups for number in range(num_groups + 1)]
    return [FeatureGroup(tuple(parts[start:stop])) for start, stop in pairwise(edges)]


def remove_unused(cache: Path, most_bytes: float) -> int:
    """Delete the parts that were not used longest, until the folder holds no more bytes. Returns bytes deleted.

    A part's frames go first: without them it is computed again, whatever else is left of it. Whoever has opened a part
    still reads it.
    """
    parts: dict[str, list[tuple[Path, os.stat_result]]] = {}
    with os.scandir(cache) as entries:
        for entry in entries:
            if entry.name.endswith(".npy"):
                with suppress(FileNotFoundError):  # another run deletes, too
                    found = Path(entry.path), entry.stat()
                    parts.setdefault(entry.name.partition(".")[0], []).append(found)
    sizes = {digest: sum(about.st_size for _, about in files) for digest, files in parts.items()}
    left, removed = sum(sizes.values()), 0
    for digest in sorted(parts, key=lambda name: (max(about.st_mtime_ns for _, about in parts[name]), name)):
        if left - removed <= most_bytes:
            break
        for path, _ in sorted(parts[digest], key=lambda item: item[0].name != f"{digest}.npy"):
            remove_noted(path)
        removed += sizes[digest]
    return removed


def _cut(
    examples: Sequence[Example], subject: Subject, shards: Mapping[str, Path], cache: Path, *, is_pooled: bool
) -> Iterable[FeaturePart]:
    """Consecutive examples of about `PART_SECONDS`, each part with the digest of what it holds."""
    audio: list[str] = []
    seconds = 0.0
    for number, example in enumerate(examples, 1):
        audio.append(repr(example.audio))
        seconds += example.seconds
        if seconds >= PART_SECONDS or number == len(examples):
            said = [FORMAT, subject.identity, list(shards), is_pooled, audio]
            digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]
            part = choose_examples(examples, range(number - len(audio), number))
            yield FeaturePart(cache / f"{digest}.npy", part, subject, tuple(shards.values()), is_pooled)
            audio, seconds = [], 0.0


def _load(path: Path, *, mapped: bool = False) -> Array:
    try:
        found: Array = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BadDataError(
            "FEATURES_BROKEN", f"cannot be read: {error}; at {path}; delete it, it is computed again"
        ) from error
    return found
