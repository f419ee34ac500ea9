"""A chunk of waveforms on a device: cut into batches of like length, submitted, and put back in order.

Legend: B utterances, N samples, F frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wavlm.features.frame_function import FrameFunction
from wavlm.features.hidden import cut_pieces, single_precision
from wavlm.features.mfcc import Floats
from wavlm.specs.frames import num_labels

Rows = npt.NDArray[Any]  # (F, ...), of one waveform


class SubmittedChunk:
    """A chunk whose batches have been submitted to the device. `wait` returns the results."""

    def __init__(self, waveforms: Sequence[Floats], function: FrameFunction, device: str, batch_samples: int) -> None:
        self._function = function
        pieces_of = [self._cut(waveform) for waveform in waveforms]
        self._num_pieces = [len(pieces) for pieces in pieces_of]
        pieces = [piece for pieces in pieces_of for piece in pieces]
        self._batches = [
            (numbers, self._submit([pieces[number] for number in numbers], device))
            for numbers in group_by_length([len(piece) for piece in pieces], batch_samples)
        ]

    def wait(self) -> list[Rows]:
        """The rows of each waveform, (F, ...), once the device has computed them."""
        rows_of: dict[int, Rows] = {}
        for numbers, batch in self._batches:
            rows_of.update(zip(numbers, batch.wait(), strict=True))
        in_order = (rows_of[number] for number in range(len(rows_of)))
        return [np.concatenate(list(islice(in_order, count))) for count in self._num_pieces]

    def _cut(self, waveform: Floats) -> list[Floats]:
        piece_samples = self._function.piece_samples
        return [waveform] if piece_samples is None else cut_pieces(waveform, piece_samples, self._function.grid)

    def _submit(self, pieces: Sequence[Floats], device: str) -> _PendingRows:
        """Call the function on one batch. The longest piece comes first."""
        rate_hz, grid = self._function.rate_hz, self._function.grid
        lengths = [len(piece) for piece in pieces]
        num_samples = None if lengths[-1] == lengths[0] else torch.tensor(lengths)
        with torch.inference_mode(), single_precision():
            rows = self._function.compute(_pad(pieces, device), num_samples)
        expected = int(num_labels(lengths[0], rate_hz, grid))
        if rows.shape[1] != expected:
            raise RuntimeError(f"{rows.shape[1]} frames of {lengths[0]} samples, expected {expected} at {rate_hz:g} Hz")
        return _PendingRows(rows, num_labels(lengths, rate_hz, grid).tolist())


class _PendingRows:
    """The rows of a batch, (B, F, ...), while they are copied from the device. The device goes on meanwhile."""

    def __init__(self, rows: Tensor, num_rows: Sequence[int]) -> None:
        self._num_rows = num_rows
        self._copied: torch.cuda.Event | None = None
        self._rows = rows
        if rows.is_cuda:
            self._rows = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True)
            self._rows.copy_(rows, non_blocking=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record()

    def wait(self) -> list[Rows]:
        """The rows of each piece of the batch, without those of its padding."""
        if self._copied is not None:
            self._copied.synchronize()
        # Copies, so that the padding and the pinned memory are freed at once.
        return [row[:count].numpy().copy() for row, count in zip(self._rows, self._num_rows, strict=True)]


def group_by_length(lengths: Sequence[int], batch_samples: int) -> list[list[int]]:
    """Numbers of waveforms, the longest first, cut into batches of at most `batch_samples`, padding included.

    A waveform that is longer than that is a batch of its own.
    """
    order = sorted(range(len(lengths)), key=lambda number: -lengths[number])
    batches = []
    while order:
        num_rows = max(1, batch_samples // max(1, lengths[order[0]]))
        batches.append(order[:num_rows])
        order = order[num_rows:]
    return batches


def _pad(pieces: Sequence[Floats], device: str) -> Tensor:
    """Pieces, the longest first, padded with zeros to one batch on the device: (B, N)."""
    if len(pieces) == 1:
        batch = torch.from_numpy(np.ascontiguousarray(pieces[0]))[None]
        return batch.to(device)
    on_host = torch.zeros(len(pieces), len(pieces[0]), pin_memory=device != "cpu")
    for row, piece in zip(on_host.numpy(), pieces, strict=True):
        row[: len(piece)] = piece
    return on_host.to(device, non_blocking=True)
