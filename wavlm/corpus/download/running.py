"""The digest of a download, computed while it is written: no second pass over its bytes, however often it is cut."""

from __future__ import annotations

import hashlib
from pathlib import Path

from wavlm.storage.files import CHUNK_BYTES


class RunningDigest:
    """The digest of the first bytes of a file that grows."""

    def __init__(self, algorithm: str) -> None:
        self._algorithm = algorithm
        self.restart()

    def restart(self) -> None:
        """Begin again, for a file that was emptied."""
        self._digest = hashlib.new(self._algorithm, usedforsecurity=False)
        self.num_bytes = 0

    def add(self, data: bytes) -> None:
        """Add the bytes that were just written behind the others."""
        self._digest.update(data)
        self.num_bytes += len(data)

    def catch_up(self, path: Path) -> None:
        """Read what an earlier run wrote and this one has not seen. Nothing, if there is no more."""
        size = path.stat().st_size if path.exists() else 0
        if size < self.num_bytes:
            self.restart()
        if size == self.num_bytes:
            return
        with path.open("rb") as file:
            file.seek(self.num_bytes)
            while data := file.read(CHUNK_BYTES):
                self.add(data)

    def hexdigest(self) -> str:
        return self._digest.hexdigest()
