"""The cache of digests: what is remembered of the files of a folder that were hashed, one Parquet row per file."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from wavlm.specs import Layout
from wavlm.specs.manifests import ListedLayout
from wavlm.storage.parquet import write_parquet

FORMAT = b"1"
BATCH_ROWS = 1 << 14
UNREADABLE_CACHE = (OSError, pa.ArrowException, ValueError)  # a digest that is no UTF-8 is a ValueError
SCHEMA = pa.schema(
    [
        ("path", pa.binary()),  # as the system spells it
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("ctime_ns", pa.int64()),
        ("inode", pa.uint64()),
        ("sha256", pa.string()),
    ]
)


class FileState(NamedTuple):
    """What tells that a file is still the one that was hashed."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path | str) -> FileState:
        return cls.from_stat(os.stat(path))  # noqa: PTH116 - making a Path takes longer than this

    @classmethod
    def from_stat(cls, found: os.stat_result) -> FileState:
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


class FileEntry(NamedTuple):
    """What a file of a folder is, wherever the folder lies."""

    size: int
    sha256: str


def digest_of(entries: Mapping[str, FileEntry]) -> str:
    """The sha256, in hex, that identifies the content of a folder: over path, size and sha256 of its sorted files."""
    return digest_sorted((os.fsencode(path), *entries[path]) for path in sorted(entries, key=os.fsencode))


def digest_sorted(files: Iterable[tuple[bytes, int, str]]) -> str:
    """`digest_of` for path, size and sha256 of files, in the order of the bytes of their paths."""
    whole = hashlib.sha256()
    for path, size, sha256 in files:
        whole.update(b"%s\0%d %s\n" % (path, size, sha256.encode()))
    return whole.hexdigest()


Known = dict[str, tuple[FileState, str]]  # state and digest by path
NOWHERE = FileState(0, 0, 0, 0)


def state_of(path: Path) -> FileState:
    """The state of a file; `NOWHERE` if there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # no file, or a name that no file can have
        return NOWHERE
    return FileState.from_stat(found) if stat.S_ISREG(found.st_mode) else NOWHERE


class Cache(NamedTuple):
    """Where the digests of one folder are kept."""

    path: Path
    lock: Path

    @classmethod
    def of(cls, store: Path, folder: Path, layout: Layout | None = None) -> Cache:
        """The cache of a folder in a store: a file named after the folder's place.

        With a layout that names files outside of the folder it is also named after that.
        """
        place = os.fsencode(os.path.realpath(folder))
        if isinstance(layout, ListedLayout):
            place += layout.model_dump_json().encode()
        name = hashlib.sha256(place).hexdigest()[:16]
        return cls(store / "folders" / f"{name}.parquet", store / "locks" / f"folder-{name}.lock")


def read_cache(path: Path) -> Known:
    """What the cache knows; nothing if it is missing, damaged or of another format."""
    try:
        return {name: (state, sha256) for name, state, sha256 in stream_cache(path)}
    except UNREADABLE_CACHE:
        return {}


def stream_cache(path: Path) -> Iterator[tuple[str, FileState, str]]:
    """What the cache knows, file by file. Raises `UNREADABLE_CACHE` if it is missing, damaged or of another format."""
    with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
        schema = file.schema_arrow
        if (schema.metadata or {}).get(b"format") != FORMAT or not schema.equals(SCHEMA):
            raise ValueError("another format")
        for batch in file.iter_batches(BATCH_ROWS, use_threads=False):
            names, *states, sha256s = (batch[name].to_pylist() for name in SCHEMA.names)
            found = map(FileState._make, zip(*states, strict=True))
            yield from zip(map(os.fsdecode, names), found, sha256s, strict=True)


def write_cache(path: Path, folder: Path, known: Known) -> None:
    names = sorted(known, key=os.fsencode)
    states = [known[name][0] for name in names]
    columns = [
        [os.fsencode(name) for name in names],
        *([getattr(state, field) for state in states] for field in FileState._fields),
        [known[name][1] for name in names],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    metadata = {b"format": FORMAT, b"folder": os.fsencode(folder)}
    write_parquet(path, pa.Table.from_arrays(arrays, schema=SCHEMA.with_metadata(metadata)))
