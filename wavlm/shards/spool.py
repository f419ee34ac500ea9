"""Keep a decoded recording until its length is known: in memory if it is short, else in a file without a name.

Pieces have equal lengths, so the first one can be cut only when the last sample is there.

Shapes: K channels, T samples.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import SpooledTemporaryFile

import numpy as np

from wavlm.shards.flac import Pcm16
from wavlm.storage.files import explain_os_errors

MEMORY_BYTES = 128 << 20  # per channel: 70 minutes, longer than chapters of books
BYTES_PER_SAMPLE = 2


class Spool:
    """The int16 samples of some channels, added in blocks and read in any order. Close it, or use it with `with`."""

    def __init__(self, folder: Path) -> None:
        """`folder`: where long recordings are written; 115 MB per hour and channel."""
        self._folder = folder
        self._files: list[SpooledTemporaryFile[bytes]] = []
        self._stack = ExitStack()

    def add(self, pcm: Pcm16) -> None:
        """Append a block (K, T). Raises CannotWriteError, naming the folder, if the disk is full."""
        while len(self._files) < len(pcm):
            file = SpooledTemporaryFile(MEMORY_BYTES, dir=str(self._folder))  # noqa: SIM115 - the stack closes it
            self._files.append(self._stack.enter_context(file))
        with explain_os_errors(self._folder):
            for file, row in zip(self._files, pcm, strict=True):
                file.write(row.tobytes())

    def read(self, channel: int, start: int, stop: int) -> Pcm16:
        """Samples `start` to `stop` of row `channel`, (T,)."""
        file = self._files[channel]
        file.seek(start * BYTES_PER_SAMPLE)
        return np.frombuffer(file.read((stop - start) * BYTES_PER_SAMPLE), np.int16)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
