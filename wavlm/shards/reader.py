"""Random access to utterances of a shards folder: seek to the bytes that the index names, and decode them."""

from __future__ import annotations

import hashlib
import os
import resource
from collections import OrderedDict
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from wavlm.corpus.audio.reason import AudioError
from wavlm.errors import BadDataError
from wavlm.shards.flac import Pcm16, Waveform, decode_flac, decode_flac_into
from wavlm.shards.index import Index, read_index
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.storage.elsewhere import open_file, read_range
from wavlm.storage.passing import read_patiently, require_there
from wavlm.storage.seals import sealed_files

MAX_OPEN_FILES = 64  # who reads one folder at a time needs no more
SPARE_FILES = 256  # descriptors of a process that are left for all else


def most_open_files(num_readers: int) -> int:
    """How many files each of several readers of one process may keep open, of the descriptors that it may have."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, (most - SPARE_FILES) // max(1, num_readers))


class Reader:
    """Reads utterances of a shards folder in any order. Can be pickled; opens files when they are needed.

    Every method that reads raises BadDataError for a missing, short or damaged shard, and ReadLostError (READ_LOST) for
    a disk that does not answer for a minute.
    """

    # Kept here, because the module's own names may be gone when the last reader is deleted at the end of Python.
    _close_file = staticmethod(os.close)

    def __init__(self, shards_dir: Path, most_open: int = MAX_OPEN_FILES, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
        """most_open: files that are kept open, the ones that were read last.

        sample_rate_hz: what the caller counts with. Audio of another rate is refused: BadDataError (SAMPLE_RATE).
        """
        self._folder, self._most_open, self._rate_hz = shards_dir, most_open, sample_rate_hz
        self.by_ranges = False  # of tars in a mirror read what is wanted, and not all of each
        self._files: OrderedDict[str, int] = OrderedDict()

    @cached_property
    def index(self) -> Index:
        return read_index(self._folder)

    def read(self, row: int, start: int = 0, stop: int | None = None) -> Waveform:
        """Samples start to stop of the utterance in this row of the index: (stop - start,) float32."""
        try:
            return decode_flac(self._read_verified(row), start, stop, self._rate_hz)
        except AudioError as error:
            raise self._add_location(error, *self._place(row)[:2]) from error

    def read_verified(
        self, key: str, place: tuple[str, int, int], sha256: str, start: int = 0, stop: int | None = None
    ) -> Waveform:
        """Like `read`, given the key, the sha256, and as place the shard name, byte offset and size."""
        try:
            return decode_flac(self._read_checked(key, place, sha256), start, stop, self._rate_hz)
        except AudioError as error:
            raise self._add_location(error, *place[:2]) from error

    def read_at(self, shard: str, offset: int, size: int, start: int = 0, stop: int | None = None) -> Waveform:
        """Like `read`, given shard name, byte offset and size. Compares no sha256: FLAC has a checksum per frame."""
        blob = self.read_blob(shard, offset, size)
        try:
            return decode_flac(blob, start, stop, self._rate_hz)
        except AudioError as error:
            raise self._add_location(error, shard, offset) from error

    def fill(self, out: Pcm16, row: int, start: int = 0) -> None:
        """Fill `out` (N,) with int16 samples of the utterance in this row, from sample `start` on."""
        try:
            decode_flac_into(self._read_verified(row), start, out, self._rate_hz)
        except AudioError as error:
            raise self._add_location(error, *self._place(row)[:2]) from error

    def fill_at(self, out: Pcm16, shard: str, offset: int, size: int, start: int = 0) -> None:
        """Like `fill`, given shard name, byte offset and size.

        Compares no sha256: FLAC has a checksum per frame, which every decoder checks. The sha256 of what training reads
        in each epoch would take an eighth of the time that decoding takes.
        """
        blob = self.read_blob(shard, offset, size)
        try:
            decode_flac_into(blob, start, out, self._rate_hz)
        except AudioError as error:
            raise self._add_location(error, shard, offset) from error

    def _place(self, row: int) -> tuple[str, int, int]:
        """Shard, byte offset and size of the utterance in this row."""
        index = self.index
        return str(index.shards[row]), int(index.offsets[row]), int(index.sizes[row])

    def _read_verified(self, row: int) -> bytes:
        """The FLAC in this row, after it was compared with the sha256 in the index."""
        return self._read_checked(str(self.index.keys[row]), self._place(row), str(self.index.sha256s[row]))

    def _read_checked(self, key: str, place: tuple[str, int, int], sha256: str) -> bytes:
        blob = self.read_blob(*place)
        if (digest := hashlib.sha256(blob).hexdigest()) != sha256:
            raise BadDataError(
                "SHARD_DAMAGED",
                f"sha256 of {key} is {digest}, expected {sha256}; at {self._folder / place[0]}; make the shards again",
            )
        return blob

    def read_blob(self, shard: str, offset: int, size: int) -> bytes:
        """`size` bytes of a shard from `offset` on, read patiently.

        Raises BadDataError (SHARD_TRUNCATED) if there are fewer, and ReadLostError.
        """
        blob = read_patiently(partial(self._read, shard, offset, size), self._folder / shard)
        if len(blob) != size:
            raise BadDataError(
                "SHARD_TRUNCATED",
                f"{len(blob)} bytes at {offset}, expected {size}; at {self._folder / shard}; make the shards again",
            )
        return blob

    def _read(self, shard: str, offset: int, size: int) -> bytes:
        try:
            if self.by_ranges and shard not in self._files and not (self._folder / shard).is_file():
                return read_range(self._folder, shard, offset, size)
            return os.pread(self._file(shard), size, offset)
        except OSError:
            if shard in self._files:  # a descriptor that failed may fail for ever
                self._close_file(self._files.pop(shard))
            raise

    def close(self) -> None:
        """Close all files; reading opens them again."""
        while self._files:
            self._close_file(self._files.popitem()[1])

    def _add_location(self, error: AudioError, shard: str, offset: int) -> AudioError:
        """The same error, with the position of the audio that cannot be decoded."""
        where = f"at byte {offset} of {self._folder / shard}"
        return AudioError(error.code, f"{error.message.partition('; ')[0]}; {where}; make the shards again")

    def _file(self, shard: str) -> int:
        """The file descriptor of a shard. Closes the least recently used one if too many are open."""
        if shard in self._files:
            self._files.move_to_end(shard)
            return self._files[shard]
        if len(self._files) >= self._most_open:
            os.close(self._files.popitem(last=False)[1])
        try:
            file = open_file(self._folder, shard)
        except FileNotFoundError as error:
            require_there(self._folder)
            raise BadDataError(
                "SHARD_MISSING",
                f"the tar is missing; at {self._folder / shard}; make the shards again",
            ) from error
        try:
            self._check_size(shard, os.fstat(file).st_size)
        except BaseException:
            os.close(file)
            raise
        self._files[shard] = file
        return file

    def _check_size(self, shard: str, found: int) -> None:
        """Raise BadDataError (SHARD_DAMAGED) if a sealed tar has another size: then it is another one."""
        sealed = sealed_files(self._folder).get(shard)
        if sealed and sealed.bytes != found:
            raise BadDataError(
                "SHARD_DAMAGED",
                f"the tar has {found} bytes, expected {sealed.bytes}; at {self._folder / shard}; make the shards again",
            )

    def __getstate__(self) -> dict[str, Any]:
        kept = ("_folder", "_most_open", "_rate_hz", "by_ranges")
        return {name: self.__dict__[name] for name in kept} | {"_files": OrderedDict()}

    def __del__(self) -> None:
        self.close()
