"""Compute features of many examples, in parts, and keep them in files that are named by what they hold.

A part of the features is three files, of which the last is written last:

    <digest>.counts.npy   frames of each example, (E,); with pooled features 1 each
    <digest>.norms.npy    mean L2 norm of the frames of each example and state, (E, S)
    <digest>.npy          all frames, (sum of F, S, D); float16, or float32 where float16 is too small

The digest is of the subject, the examples' audio and the form. So evaluations share features, whichever task they are
of, and nothing has to be invalidated. Files that were not used longest are deleted where there are too many bytes.

Legend: E examples, S states, F frames, D channels.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Example
from wavlm.evaluation.features.states import Subject, open_subject
from wavlm.execution.parts import run_parts
from wavlm.execution.progress import Progress
from wavlm.features.extract import one_thread
from wavlm.features.mfcc import Floats
from wavlm.shards import Reader
from wavlm.storage.files import atomic_path

FORMAT = 1
PART_SECONDS = 600.0  # of audio: a part is what one worker computes at a time, and is lost if it is killed
SECONDS_PER_WORKER = 120.0  # starting a worker costs some seconds
LARGEST_HALF = 60_000.0  # float16 ends at 65,504
Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class FeaturePart:
    """Examples whose features are one file."""

    path: Path
    examples: tuple[Example, ...]
    subject: Subject
    shards_dirs: tuple[Path, ...]
    is_pooled: bool

    @property
    def counts(self) -> Path:
        return self.path.with_suffix(".counts.npy")

    @property
    def norms(self) -> Path:
        return self.path.with_suffix(".norms.npy")

    def __str__(self) -> str:
        return f"features of {len(self.examples)} utterances from {self.examples[0].key} on"


class Features:
    """The features of the examples of an evaluation. Frames are read from the disk when they are asked for.

    All files are opened at once: what is deleted from the cache later is still there for this evaluation.
    """

    def __init__(self, parts: Iterable[FeaturePart]) -> None:
        self._places: dict[str, tuple[Path, int, int]] = {}
        self._norms: dict[str, npt.NDArray[np.float64]] = {}
        self._open: dict[Path, Array] = {}
        for part in parts:
            counts, norms = _load(part.counts), _load(part.norms)
            # Slices of a memmap cost ten times as much as those of an array.
            self._open[part.path] = np.asarray(_load(part.path, mapped=True))
            ends = np.cumsum(counts)
            for example, norm, count, end in zip(part.examples, norms, counts, ends, strict=True):
                self._places[example.key] = (part.path, int(end - count), int(end))
                self._norms[example.key] = norm

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
        _, start, stop = self._places[key]
        return stop - start

    def _rows(self, key: str) -> Array:
        path, start, stop = self._places[key]
        return self._open[path][start:stop]

    def mean_norms(self, keys: Iterable[str]) -> npt.NDArray[np.float64]:
        """The mean L2 norm of the frames of each state, (S,), over these examples, each counting alike."""
        found: npt.NDArray[np.float64] = np.mean([self._norms[key] for key in keys], axis=0)
        return found


def prepare_features(  # noqa: PLR0913 - what, of what, where, how
    examples: Sequence[Example],
    subject: Subject,
    shards: Mapping[str, Path],
    cache: Path,
    workers: int,
    progress: Progress,
    *,
    is_pooled: bool,
    prepare: Callable[[int], None] | None = None,
) -> Features:
    """The features of all examples; what the cache does not hold is computed.

    shards: the folders of shards that the examples' audio is in, by their keys, in the order of their numbers.
    Raises BadDataError (FEATURES_BROKEN) for features that are not finite, UTTERANCE_SHORT for one without a frame.
    """
    cache.mkdir(parents=True, exist_ok=True)
    parts = list(_cut(examples, subject, shards, cache, is_pooled=is_pooled))
    todo = [part for part in parts if not part.path.exists()]
    seconds = sum(item.seconds for part in todo for item in part.examples)
    enough = max(1, int(seconds / SECONDS_PER_WORKER)) if subject.device == "cpu" else 1
    run_parts(todo, compute_part, min(max(1, workers), enough), progress, prepare)
    for part in parts:
        for path in (part.counts, part.norms, part.path):
            os.utime(path)  # used just now
    return Features(parts)


def compute_part(part: FeaturePart) -> None:
    """Write the files of a part."""
    compute, readers = open_subject(part.subject), [Reader(folder) for folder in part.shards_dirs]
    rows, counts, norms = [], [], []
    with one_thread():
        for example in part.examples:
            states = compute(example.audio.load(readers), example.key)  # (S, F, D)
            if not states.shape[1]:
                raise BadDataError(
                    "UTTERANCE_SHORT",
                    f"{example.key} has {example.num_samples} samples, which give no frame; in the evaluation's data; "
                    "leave it out",
                )
            norms.append(np.linalg.norm(states.astype(np.float64), axis=2).mean(axis=1))
            kept = states.mean(axis=1, dtype=np.float64, keepdims=True) if part.is_pooled else states
            counts.append(kept.shape[1])
            rows.append(_shrink(kept.transpose(1, 0, 2), exact=part.is_pooled))
    _save(part.counts, np.array(counts, dtype=np.int64))
    _save(part.norms, np.array(norms))
    _save(part.path, np.concatenate(rows))


def remove_unused(cache: Path, most_bytes: float) -> int:
    """Delete the parts that were not used longest, until the folder holds no more bytes. Returns bytes deleted.

    A part's frames go first: without them it is computed again, whatever else is left of it. Whoever has opened a part
    still reads it.
    """
    parts: dict[str, list[os.DirEntry[str]]] = {}
    with os.scandir(cache) as entries:
        for entry in entries:
            if entry.name.endswith(".npy"):
                parts.setdefault(entry.name.partition(".")[0], []).append(entry)
    sizes = {digest: sum(entry.stat().st_size for entry in files) for digest, files in parts.items()}
    left, removed = sum(sizes.values()), 0
    for digest in sorted(parts, key=lambda name: (max(entry.stat().st_mtime_ns for entry in parts[name]), name)):
        if left - removed <= most_bytes:
            break
        for entry in sorted(parts[digest], key=lambda item: item.name != f"{digest}.npy"):
            Path(entry.path).unlink(missing_ok=True)
        removed += sizes[digest]
    return removed


def _cut(
    examples: Sequence[Example], subject: Subject, shards: Mapping[str, Path], cache: Path, *, is_pooled: bool
) -> Iterable[FeaturePart]:
    """Consecutive examples of about `PART_SECONDS`, each part with the digest of what it holds."""
    part: list[Example] = []
    seconds = 0.0
    for number, example in enumerate(examples):
        part.append(example)
        seconds += example.seconds
        if seconds >= PART_SECONDS or number == len(examples) - 1:
            said = [FORMAT, subject.identity, list(shards), is_pooled, [repr(item.audio) for item in part]]
            digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]
            yield FeaturePart(cache / f"{digest}.npy", tuple(part), subject, tuple(shards.values()), is_pooled)
            part, seconds = [], 0.0


def _shrink(rows: Array, *, exact: bool) -> Array:
    """As float16 if all values fit; means of utterances are few, and stay as they are."""
    fits = not exact and float(np.abs(rows).max(initial=0.0)) < LARGEST_HALF
    return rows.astype(np.float16 if fits else np.float32)


def _save(path: Path, values: Array) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, values, allow_pickle=False)


def _load(path: Path, *, mapped: bool = False) -> Array:
    try:
        found: Array = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BadDataError(
            "FEATURES_BROKEN", f"cannot be read: {error}; at {path}; delete it, it is computed again"
        ) from error
    return found
