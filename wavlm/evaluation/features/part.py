"""Compute the features of some examples and write them as they come: memory does not grow with a part.

A part of the features is three files, of which the last is there last, and a note of the digest of each:

    <digest>.counts.npy   frames of each example, (E,); with pooled features 1 each
    <digest>.norms.npy    mean L2 norm of the frames of each example and state, (E, S)
    <digest>.npy          all frames, (sum of F, S, D); float16, or float32 if one value of the part is too large for it

Legend: E examples, S states, F frames, D channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import torch

from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Example
from wavlm.evaluation.features.states import ComputeStates, Subject, open_subject
from wavlm.features.extract import one_thread
from wavlm.features.mfcc import Floats
from wavlm.shards import Reader
from wavlm.storage.files import note_whole, open_atomic

LARGEST_HALF = 60_000.0  # float16 ends at 65,504
Array = npt.NDArray[np.generic]
AddRows = Callable[[Array], None]


@dataclass(frozen=True)
class FeaturePart:
    """Examples whose features are one file."""

    path: Path
    examples: Sequence[Example]
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


@dataclass(frozen=True)
class FeatureGroup:
    """Parts that a process computes one after the other, with one network in memory."""

    parts: tuple[FeaturePart, ...]

    def __str__(self) -> str:
        more = f", and {len(self.parts) - 1} more parts" if len(self.parts) > 1 else ""
        return f"{self.parts[0]}{more}"


def compute_features(group: FeatureGroup) -> None:
    """Write the files of the parts that are not there yet.

    Raises BadDataError (FEATURES_BROKEN) for states that are not finite, UTTERANCE_SHORT for one without a frame.
    """
    todo = [part for part in group.parts if not part.path.exists()]
    if not todo:
        return
    compute, readers = open_subject(todo[0].subject), [Reader(folder) for folder in todo[0].shards_dirs]
    with one_thread():
        for part in todo:
            compute_part(part, compute, readers)


def compute_part(part: FeaturePart, compute: ComputeStates, readers: list[Reader]) -> None:
    """Write the files of a part. Means of utterances are few, and stay as they are."""
    if not part.is_pooled:
        try:
            _write(part, compute, readers, np.dtype(np.float16))
        except _TooLargeError:  # once more, as a file has one type
            pass
        else:
            return
    _write(part, compute, readers, np.dtype(np.float32))


def take_gpu(number: int) -> None:
    """Make one GPU the device that this process calls "cuda" from now on, the next one for the next worker."""
    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())


class _TooLargeError(Exception):
    """A value does not fit float16."""


def _write(part: FeaturePart, compute: ComputeStates, readers: list[Reader], dtype: np.dtype[np.floating]) -> None:
    counts, norms = [], []
    subject = part.subject
    with _open_rows(part.path, (subject.num_states, subject.num_channels), dtype) as add:
        for example in part.examples:
            pieces = compute(example.audio.load(readers), example.key)
            count, norm = _write_utterance(pieces, add, dtype, is_pooled=part.is_pooled)
            if not count:
                raise BadDataError(
                    "UTTERANCE_SHORT",
                    f"{example.key} has {example.num_samples} samples, which give no frame; in the evaluation's data; "
                    "leave it out",
                )
            counts.append(1 if part.is_pooled else count)
            norms.append(norm)
        _save(part.counts, np.array(counts, dtype=np.int64))
        _save(part.norms, np.array(norms))


def _write_utterance(
    pieces: Iterable[list[Floats]], add: AddRows, dtype: np.dtype[np.floating], *, is_pooled: bool
) -> tuple[int, npt.NDArray[np.float64]]:
    """Add the frames of an utterance, or their mean; the number of frames, and their mean norm in each state, (S,)."""
    norms: list[list[npt.NDArray[np.float64]]] = []
    total: npt.NDArray[np.float64] | None = None
    for piece in pieces:  # S x (F, D)
        norms.append([np.linalg.norm(rows.astype(np.float64), axis=1) for rows in piece])
        if is_pooled:
            sums = np.array([rows.sum(axis=0, dtype=np.float64) for rows in piece])
            total = sums if total is None else total + sums
        else:
            add(_stack(piece, dtype))
    by_state = [np.concatenate(rows) for rows in zip(*norms, strict=True)]
    count = len(by_state[0])
    if is_pooled and count and total is not None:
        add((total / count)[None].astype(dtype))
    return count, np.array([rows.mean() if count else 0.0 for rows in by_state])


def _stack(piece: list[Floats], dtype: np.dtype[np.floating]) -> Array:
    """States as the file has them: (F, S, D). Raises _TooLargeError for a value that float16 cannot hold."""
    frames, channels = piece[0].shape
    found = np.empty((frames, len(piece), channels), dtype)
    for state, rows in enumerate(piece):
        if dtype == np.float16 and float(np.abs(rows).max(initial=0.0)) >= LARGEST_HALF:
            raise _TooLargeError
        found[:, state] = rows
    return found


@contextmanager
def _open_rows(path: Path, shape: tuple[int, ...], dtype: np.dtype[np.floating]) -> Iterator[AddRows]:
    """Write a `.npy` file of which the caller adds some rows at a time; the same bytes as of `numpy.save`.

    NumPy leaves room in the header for any number of rows, so it can be written again when that is known.
    """
    count = 0
    with open_atomic(path) as file:

        def write_header() -> int:
            file.seek(0)
            about = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (count, *shape)}
            np.lib.format.write_array_header_1_0(file, about)
            return file.tell()

        def add(rows: Array) -> None:
            nonlocal count
            count += len(rows)
            file.write(np.ascontiguousarray(rows).data)

        begin = write_header()
        yield add
        assert write_header() == begin  # noqa: S101 - by the room that NumPy leaves
        _note(path, file)


def _save(path: Path, values: Array) -> None:
    with open_atomic(path) as file:
        np.save(file, values, allow_pickle=False)
        _note(path, file)


def _note(path: Path, file: IO[bytes]) -> None:
    """Note the digest before the file is there: another run takes a file without a note for damaged."""
    file.flush()
    note_whole(path, Path(file.name))
