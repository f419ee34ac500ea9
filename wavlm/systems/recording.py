"""A recording of any length whose samples are read by stretches: memory does not grow with its length.

A file is decoded once, into a temporary file of 16-bit samples at 16 kHz: 115 MB per hour.

Legend: N samples.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from wavlm.shards.flac import FULL_SCALE, Pcm16, Waveform
from wavlm.shards.waveform import stream_pcm

BYTES = 2  # of a sample


class RecordedSamples(Protocol):
    """The samples of a recording at 16 kHz, one channel."""

    @property
    def num_samples(self) -> int: ...

    def read(self, start: int, stop: int) -> Pcm16:
        """The samples from `start` to before `stop`, as far as there are any, (N,)."""
        ...


@dataclass(frozen=True)
class SpooledSamples:
    """Samples in a temporary file."""

    file: IO[bytes]
    num_samples: int

    def read(self, start: int, stop: int) -> Pcm16:
        start, stop = (min(max(place, 0), self.num_samples) for place in (start, stop))
        self.file.seek(BYTES * start)
        return np.frombuffer(self.file.read(BYTES * max(0, stop - start)), np.int16)


@dataclass(frozen=True, eq=False)
class HeldSamples:
    """Samples in memory."""

    pcm: Pcm16  # (N,)

    @property
    def num_samples(self) -> int:
        return len(self.pcm)

    def read(self, start: int, stop: int) -> Pcm16:
        return self.pcm[max(0, start) : max(0, stop)]


@contextmanager
def open_samples(path: Path) -> Iterator[SpooledSamples]:
    """The mean of the channels of an audio file. Raises AudioError if it cannot be decoded to its end."""
    with tempfile.TemporaryFile(prefix="wavlm-recording-") as file:
        for pcm in stream_pcm(path):
            file.write(np.ascontiguousarray(pcm).tobytes())
        yield SpooledSamples(file, file.tell() // BYTES)


def read_waveform_of(samples: RecordedSamples, start: int, stop: int) -> Waveform:
    """Samples within -1 .. 1; zeros stand for those before the beginning and behind the end: (stop - start,)."""
    found = samples.read(start, stop)
    waveform = np.zeros(stop - start, dtype=np.float32)
    first = max(0, -start)
    waveform[first : first + len(found)] = found.astype(np.float32) / np.float32(FULL_SCALE)
    return waveform
