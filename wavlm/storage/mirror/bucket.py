"""Objects of a mirror, by obstore. Only the courier's process imports this: the client's threads survive no fork.

Every byte that is read or written is hashed on the way: what arrives under a name is what its digest says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, NotSupportedError, PreconditionError
from obstore.store import LocalStore

from wavlm.errors import AnswerTooLargeError, BadDataError, UsageError
from wavlm.storage.files import atomic_path
from wavlm.storage.mirror.address import FILE, folder_of, split_s3
from wavlm.storage.mirror.client import open_s3
from wavlm.storage.mirror.meaning import code_client_errors
from wavlm.storage.mirror.patience import Patience

PIECE_BYTES = 8 << 20  # of an upload; more, if an object had more than MAX_PIECES of them
MAX_PIECES = 9_000  # S3 takes 10,000
UPLOADS = 4  # pieces of one object at once


class Bucket:
    """The objects of one mirror. Keys are relative to its address. All methods may be called by many threads."""

    def __init__(self, address: str, patience: Patience) -> None:
        self._address, self._patience = address, patience
        # A client has one time limit for all its requests: so there is one client for each limit.
        self._client = cache(self._open)

    def size_of(self, key: str) -> int | None:
        """Bytes of an object; None if there is none."""
        with code_client_errors(self._where(key)):
            try:
                return int(obstore.head(self._for(0), key)["size"])
            except FileNotFoundError as error:
                self._require_bucket(error)
                return None

    def read(self, key: str, most_bytes: int) -> bytes | None:
        """A small object; None if there is none. Raises AnswerTooLargeError if it has more bytes."""
        with code_client_errors(self._where(key)):
            try:
                return b"".join(self._stream(key, most_bytes))
            except FileNotFoundError as error:
                self._require_bucket(error)
                return None

    def read_range(self, key: str, begin: int, num_bytes: int) -> bytes:
        """So many bytes of an object from a place on. Raises BadDataError (MIRROR_LACKS, MIRROR_DAMAGED)."""
        with code_client_errors(self._where(key)):
            try:
                blob = bytes(obstore.get_range(self._for(num_bytes), key, start=begin, length=num_bytes))
            except FileNotFoundError as error:
                self._require_bucket(error)
                raise self._lacks(key) from error
        if len(blob) != num_bytes:
            raise BadDataError(
                "MIRROR_DAMAGED",
                f"found {len(blob)} bytes from {begin} on, expected {num_bytes}; at {self._where(key)}; push it again "
                "from a store that has it: wavlm push --check",
            )
        return blob

    def fetch(self, key: str, path: Path, sha256: str, num_bytes: int) -> None:
        """Write an object as a file, which appears whole, with this digest, or not at all.

        Raises BadDataError: MIRROR_LACKS, MIRROR_DAMAGED.
        """
        found, size = hashlib.sha256(), 0
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            with code_client_errors(self._where(key)):
                try:
                    for piece in self._stream(key, num_bytes):
                        found.update(piece)
                        size += file.write(piece)
                except FileNotFoundError as error:
                    self._require_bucket(error)
                    raise self._lacks(key) from error
            if found.hexdigest() != sha256:
                raise BadDataError(
                    "MIRROR_DAMAGED",
                    f"the object has {size} bytes with sha256 {found.hexdigest()}, expected {num_bytes} with {sha256}; "
                    f"at {self._where(key)}; push it again from a store that has it: wavlm push --check",
                )
            file.flush()

    def is_whole(self, key: str, sha256: str, num_bytes: int) -> bool:
        """Whether an object is there with these bytes. Reads all of it, and keeps nothing."""
        found = hashlib.sha256()
        with code_client_errors(self._where(key)):
            try:
                for piece in self._stream(key, num_bytes):
                    found.update(piece)
            except FileNotFoundError as error:
                self._require_bucket(error)
                return False
            except AnswerTooLargeError:
                return False
        return found.hexdigest() == sha256

    def send(self, path: Path, key: str, sha256: str, num_bytes: int) -> None:
        """Write a file as an object, which appears whole, with this digest, or not at all.

        Raises BadDataError (CHECKSUM) if the file is another one.
        """
        pieces = self._read_checked(path, sha256, num_bytes)
        if num_bytes <= PIECE_BYTES:
            self._put(key, b"".join(pieces), num_bytes, use_multipart=False)
        else:
            size = max(PIECE_BYTES, -(-num_bytes // MAX_PIECES))
            self._put(key, pieces, num_bytes, chunk_size=size, max_concurrency=UPLOADS)

    def create(self, key: str, blob: bytes) -> bool:
        """Write a small object unless there is one; whether it was written.

        A store that ignores the condition (rclone does) writes it all the same: read it back.
        """
        try:
            self._put(key, blob, len(blob), mode="create")
        except (AlreadyExistsError, PreconditionError):
            return False
        except NotSupportedError:
            self.replace(key, blob)
        return True

    def replace(self, key: str, blob: bytes) -> None:
        """Write a small object, whatever is there."""
        self._put(key, blob, len(blob), use_multipart=False)

    def list(self, prefix: str) -> list[tuple[str, int]]:
        """Keys and sizes of all objects in a folder, in order."""
        return [(key, size) for key, size, _ in self.list_dated(prefix)]

    def list_dated(self, prefix: str) -> Sequence[tuple[str, int, float]]:
        """The same, and when the store says that each was written, in seconds of its own clock."""
        with code_client_errors(self._where(prefix)):
            try:
                chunks = obstore.list(self._for(0), prefix)
                return sorted(
                    (item["path"], item["size"], item["last_modified"].timestamp())
                    for chunk in chunks
                    for item in chunk
                )
            except FileNotFoundError as error:
                self._require_bucket(error)
                return []

    def written_unix(self, key: str) -> float | None:
        """When the store says that an object was written; None if there is none."""
        with code_client_errors(self._where(key)):
            try:
                return float(obstore.head(self._for(0), key)["last_modified"].timestamp())
            except FileNotFoundError as error:
                self._require_bucket(error)
                return None

    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""
        with code_client_errors(self._where(key)):
            try:
                obstore.delete(self._for(0), key)
            except FileNotFoundError as error:
                self._require_bucket(error)

    def _put(self, key: str, content: bytes | Iterator[bytes], num_bytes: int, **how: Any) -> None:
        with code_client_errors(self._where(key)):
            try:
                obstore.put(self._for(num_bytes), key, content, **how)
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise _missing(self._address) from error
                raise  # the file that is sent

    def _stream(self, key: str, most_bytes: int) -> Iterator[bytes]:
        result = obstore.get(self._for(most_bytes), key)
        size = 0
        for piece in result.stream(min_chunk_size=1 << 16):
            size += len(piece)
            if size > most_bytes:
                raise AnswerTooLargeError(f"more than {most_bytes} bytes")
            yield bytes(piece)

    @staticmethod
    def _read_checked(path: Path, sha256: str, num_bytes: int) -> Iterator[bytes]:
        """The bytes of a file; an error at the end, which stops an upload, if it is not the one that was sealed."""
        found, size = hashlib.sha256(), 0
        with path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                found.update(piece)
                size += len(piece)
                if size == num_bytes and found.hexdigest() == sha256:
                    yield piece
                    return
                if size >= num_bytes:
                    break
                yield piece
        if (size, found.hexdigest()) != (num_bytes, sha256):
            raise BadDataError(
                "CHECKSUM",
                f"found {size} bytes or more with sha256 {found.hexdigest()}, expected {num_bytes} with {sha256}, as "
                f"sealed; at {path}; make it again: wavlm stage KIND RECIPE --redo",
            )

    def _for(self, num_bytes: int) -> Any:
        return self._client(self._patience.seconds_for(num_bytes))

    def _open(self, seconds: float) -> Any:
        if self._address.startswith(FILE):
            folder = folder_of(self._address)
            if not folder.is_dir():
                raise _missing(self._address)
            return LocalStore(folder)
        limits = {
            "connect_timeout": timedelta(seconds=min(seconds, self._patience.silent_seconds)),
            "read_timeout": timedelta(seconds=min(seconds, self._patience.silent_seconds)),
            "timeout": timedelta(seconds=seconds),
        }
        retries = {"max_retries": self._patience.retries, "retry_timeout": timedelta(seconds=seconds)}
        return open_s3(*split_s3(self._address), limits, retries)

    def _require_bucket(self, error: FileNotFoundError) -> None:
        """Raise UsageError (MIRROR_MISSING) if it is the bucket that is not there, and not the object."""
        is_gone = self._address.startswith(FILE) and not folder_of(self._address).is_dir()
        if is_gone or "NoSuchBucket" in str(error):
            raise _missing(self._address) from error

    def _lacks(self, key: str) -> BadDataError:
        what = f"there is no such object; at {self._where(key)}; push the artifact again"
        return BadDataError("MIRROR_LACKS", what)

    def _where(self, key: str) -> str:
        return f"{self._address}/{key}"


def _missing(address: str) -> UsageError:
    return UsageError(
        "MIRROR_MISSING", f"there is no such bucket or folder; at {address}; make it, or correct the name"
    )
