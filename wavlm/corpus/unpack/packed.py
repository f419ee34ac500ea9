"""Read an archive once from front to end: its digests are computed on the way, and it is decrypted if it must be."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from wavlm.errors import UsageError
from wavlm.storage.files import CHUNK_BYTES

SALTED, SALT_BYTES = b"Salted__", 8  # what `openssl enc` writes first
KEY_BYTES, BLOCK_BYTES = 32, 16  # of AES-256
ROUNDS = 10_000  # of PBKDF2 with SHA-256: what `openssl enc -pbkdf2` does where no number is given


@dataclass(frozen=True)
class PackedDigests:
    """The digests of an archive as it was read, in hex."""

    md5: str
    sha256: str


class PackedBytes(io.RawIOBase):
    """A file that is read forward only, and digested meanwhile."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self._md5, self._sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._md5.update(data)
        self._sha256.update(data)
        return len(data)

    def finish(self) -> PackedDigests:
        """The digests of the whole file. Reads what nobody has read yet."""
        while self.read(CHUNK_BYTES):
            pass
        return PackedDigests(self._md5.hexdigest(), self._sha256.hexdigest())


class _Decrypted(io.RawIOBase):
    """What `openssl enc -aes-256-cbc -pbkdf2` has encrypted, in the clear."""

    def __init__(self, stream: IO[bytes], password: str, name: str) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        from cryptography.hazmat.primitives.padding import PKCS7

        super().__init__()
        self._stream, self._name = stream, name
        head = stream.read(len(SALTED) + SALT_BYTES)
        if head[: len(SALTED)] != SALTED:
            raise self._wrong("it does not begin as openssl writes it")
        derived = hashlib.pbkdf2_hmac("sha256", password.encode(), head[len(SALTED) :], ROUNDS, KEY_BYTES + BLOCK_BYTES)
        key, start = derived[:KEY_BYTES], derived[KEY_BYTES:]
        self._cipher = Cipher(algorithms.AES(key), modes.CBC(start)).decryptor()
        self._padding = PKCS7(8 * BLOCK_BYTES).unpadder()
        self._left, self._is_done = b"", False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left and not self._is_done:
            self._left = self._next()
        data, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)

    def _next(self) -> bytes:
        packed = self._stream.read(CHUNK_BYTES)
        if packed:
            return self._padding.update(self._cipher.update(packed))
        self._is_done = True
        try:
            return self._padding.update(self._cipher.finalize()) + self._padding.finalize()
        except ValueError as error:
            raise self._wrong("the last block is none") from error

    def _wrong(self, what: str) -> UsageError:
        return wrong_password(what, self._name)


def wrong_password(what: str, name: str) -> UsageError:
    """The error for an archive that is no archive when it is decrypted."""
    return UsageError(
        "DECRYPT_FAILED",
        f"an archive cannot be decrypted: {what}; at {name}; set the variable that `access.password` of the corpus "
        "spec names to the password that the publisher gave you",
    )


@contextmanager
def open_packed(archive: Path) -> Iterator[PackedBytes]:
    """Open an archive for one reading."""
    with archive.open("rb", buffering=0) as file:
        yield PackedBytes(cast("IO[bytes]", file))


def open_clear(packed: PackedBytes, password: str, name: str, magic: bytes) -> IO[bytes]:
    """The bytes of an archive in the clear. Raises UsageError (DECRYPT_FAILED) unless they begin as its format does."""
    stream = io.BufferedReader(packed, CHUNK_BYTES)
    if not password:
        return stream
    clear = io.BufferedReader(_Decrypted(stream, password, name), CHUNK_BYTES)
    if clear.peek(len(magic))[: len(magic)] != magic:
        raise wrong_password(f"it does not begin with {magic!r}", name)
    return clear
