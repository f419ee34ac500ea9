"""Read a shard from front to end with webdataset, and refuse any damage."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from wavlm.corpus.audio.reason import AudioError
from wavlm.errors import BadDataError
from wavlm.shards.flac import decode_flac
from wavlm.shards.listing import listing_path, read_listed_shard
from wavlm.shards.utterance import Utterance, from_json, has_phones
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.storage.elsewhere import open_file
from wavlm.storage.files import CHUNK_BYTES
from wavlm.storage.passing import refuse_passing

MEMBERS = frozenset({"flac", "json"})
MEMBER_NAME = re.compile(r"[A-Za-z0-9_-]+\.(flac|json)")


def stream(shard: Path, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Iterator[Utterance]:
    """Every utterance of a local tar file, in order.

    Raises BadDataError for members other than flac and json, and for any damage that can be seen. A tar that
    was cut between two members looks complete, and json has no checksum. So if the folder has a listing, the number
    of utterances and the sha256 of the tar are compared with it, once the last utterance was taken: what was made of
    the others is worth nothing if this raises.
    """
    return (decode_sample(item, sample_rate_hz) for item in _read_verified(shard))


@dataclass(frozen=True)
class TarSample:
    """The bytes of an utterance in a tar. `decode_sample` decodes them, in any thread."""

    shard: Path
    key: str
    flac: bytes
    json: bytes


def read_samples(shard: Path) -> Iterator[TarSample]:
    """Like `stream`, without decoding, and without a look at the sha256 of the tar."""
    with _open_tar(shard) as file:
        yield from _read_samples(file, shard)


def _read_verified(shard: Path) -> Iterator[TarSample]:
    with _open_tar(shard) as file:
        hashing = _HashingReader(file)
        yield from _read_samples(hashing, shard)
        if listing_path(shard.parent).is_file():
            _check_sha256(hashing.finish(), shard)


def _read_samples(file: IO[bytes] | _HashingReader, shard: Path) -> Iterator[TarSample]:
    num_utterances = 0
    for sample in _iterate_members(file, shard):
        yield _check_sample(sample, shard)
        num_utterances += 1
    if listing_path(shard.parent).is_file():
        _check_count(shard, num_utterances, read_listed_shard(shard).utterances)


class _HashingReader:
    """A file that is read from front to end, and the sha256 of all its bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes."""
        blob = self._file.read(size)
        self._digest.update(blob)
        return blob

    def finish(self) -> str:
        """Read what is left; the sha256 in hex."""
        while self.read(CHUNK_BYTES):
            pass
        return self._digest.hexdigest()


def decode_sample(item: TarSample, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Utterance:
    """Decode an utterance. Raises BadDataError for damage that only decoding can detect."""
    try:
        utterance = from_json(item.json, decode_flac(item.flac, sample_rate_hz=sample_rate_hz))
    except AudioError as error:
        raise AudioError(
            error.code, f"{error.message.partition('; ')[0]}; at {item.key} of {item.shard}; make the shards again"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadDataError("SHARD_DAMAGED", f"{item.key}: {error!r}; at {item.shard}; make the shards again") from error
    if utterance.key != item.key:
        raise BadDataError(
            "SHARD_DAMAGED", f"the json of {item.key} names {utterance.key}; at {item.shard}; make the shards again"
        )
    return utterance


def samples_with_phones(shard: Path) -> Iterator[TarSample]:
    """The samples of a local tar file that have a timed phone, not decoded. Raises as `stream`."""
    return (item for item in _read_verified(shard) if _may_have_phones(item))


def _may_have_phones(item: TarSample) -> bool:
    try:
        return has_phones(item.json)
    except (ValueError, KeyError, TypeError):
        return True  # it is damaged: decoding says how


def verify_shard(shard: Path) -> int:
    """Compare the bytes and the utterances of a shard with its listing; return the number of utterances.

    Raises BadDataError (SHARD_DAMAGED, SHARD_UNKNOWN or what `stream` raises).
    """
    _check_sha256(hash_tar(shard), shard)
    return sum(1 for _ in stream(shard, read_listed_shard(shard).sample_rate_hz))


def hash_tar(shard: Path) -> str:
    """The sha256 of a tar, wherever it is read from. Raises FileNotFoundError."""
    with os.fdopen(open_file(shard.parent, shard.name), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_sha256(found: str, shard: Path) -> None:
    if found != (expected := read_listed_shard(shard).sha256):
        raise BadDataError(
            "SHARD_DAMAGED", f"sha256 is {found}, expected {expected}; at {shard}; make the shards again"
        )


@contextmanager
def _open_tar(shard: Path) -> Iterator[IO[bytes]]:
    """Open a local file, so that no URL or shell pipe can be used.

    Raises BadDataError (SHARD_MISSING, SHARD_UNREADABLE).
    """
    try:
        handle = open_file(shard.parent, shard.name)
    except FileNotFoundError as error:
        raise BadDataError("SHARD_MISSING", f"the tar is missing; at {shard}; make the shards again") from error
    with os.fdopen(handle, "rb") as file:
        if file.read(512)[257:262] != b"ustar":  # webdataset would also accept gz, bz2 and xz
            raise BadDataError(
                "SHARD_UNREADABLE", f"this is not an uncompressed tar file; at {shard}; make the shards again"
            )
        file.seek(0)
        yield file


def _iterate_members(file: IO[bytes] | _HashingReader, shard: Path) -> Iterator[dict[str, Any]]:
    """Members by webdataset's reader."""
    from webdataset import tariterators
    from webdataset.handlers import reraise_exception

    members = tariterators.tar_file_expander(
        [{"url": str(shard), "stream": file}],
        handler=reraise_exception,
        select_files=_is_known,
    )
    try:
        yield from tariterators.group_by_keys(members, handler=reraise_exception)
    except (OSError, ValueError, tarfile.TarError) as error:
        refuse_passing(error, shard)
        # webdataset adds the stream to the error's arguments, which no process can send to another.
        error.args = error.args[:1]
        raise BadDataError("SHARD_UNREADABLE", f"{error.args[0]}; at {shard}; make the shards again") from error


def _is_known(name: str) -> bool:
    if not MEMBER_NAME.fullmatch(name):
        raise ValueError(f"found member {name!r}, expected <key>.flac and <key>.json only")
    return True


def _check_sample(sample: dict[str, Any], shard: Path) -> TarSample:
    key = sample["__key__"]
    names = {name for name in sample if not name.startswith("__")}
    if names != MEMBERS:
        raise BadDataError(
            "SHARD_MEMBERS",
            f"{key} has members {sorted(names)}, expected {sorted(MEMBERS)}; at {shard}; make the shards again",
        )
    return TarSample(shard, key, sample["flac"], sample["json"])


def _check_count(shard: Path, found: int, expected: int) -> None:
    if found != expected:
        raise BadDataError(
            "SHARD_TRUNCATED",
            f"{found} utterances, expected {expected}; at {shard}; make the shards again",
        )
