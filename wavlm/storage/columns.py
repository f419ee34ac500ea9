"""Columns that are mapped into memory: a folder with a file per column, complete or absent, and a note about them.

Processes that open the same columns share their memory: it is the page cache of the machine. Opening reads nothing but
the note, and each column is plain numpy. The note has the digest of each file and its own.

    NAME/offsets.bin ...   the numbers of a column, one after the other
    NAME/columns.json      dtype, length and sha256 of each column, and what the builder says about them
"""

from __future__ import annotations

import errno
import hashlib
import logging
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, overload

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from wavlm.storage.digested import read_digested, write_digested
from wavlm.storage.files import sha256_of, sync
from wavlm.storage.locks import wait_for_lock
from wavlm.storage.sharing import mode_in

BUILD_SECONDS = 6 * 3600.0  # how long to wait while another process builds columns

log = logging.getLogger(__name__)

NOTE = "columns.json"
Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class MappedColumns:
    """Columns that are open. The arrays can be read only."""

    folder: Path
    arrays: Mapping[str, Array]
    about: Mapping[str, Any]  # what `build` returned

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def path(self, name: str) -> Path:
        """The file of a column: its numbers and nothing else."""
        return self.folder / f"{name}.bin"


class Texts:
    """A column of texts, in two mapped columns: their bytes, and where each ends. Reading one makes one str."""

    def __init__(self, text: Array, ends: Array) -> None:
        """text (bytes of all,) uint8; ends (rows,)."""
        self._text, self._ends = memoryview(text), ends  # type: ignore[arg-type] # numpy has the buffer protocol

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, rows: int | np.integer[Any]) -> str: ...
    @overload
    def __getitem__(self, rows: npt.NDArray[np.integer[Any]]) -> tuple[str, ...]: ...
    def __getitem__(self, rows: Any) -> str | tuple[str, ...]:
        if np.ndim(rows) == 0:
            return self._at(int(rows))
        return tuple(map(self._at, np.asarray(rows).tolist()))

    def __iter__(self) -> Iterator[str]:
        return map(self._at, range(len(self)))

    def _at(self, row: int) -> str:
        begin = int(self._ends[row - 1]) if row else 0
        return bytes(self._text[begin : int(self._ends[row])]).decode()


class ColumnWriter:
    """Writes columns piece by piece, so that no column is ever in memory. Use as a context, which closes its files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, IO[bytes]] = {}
        self._notes: dict[str, dict[str, Any]] = {}
        self._digests: dict[str, Any] = {}

    def append(self, name: str, values: Array, dtype: str) -> None:
        """Add values to a column. Raises ValueError for one that the dtype cannot hold."""
        stored = np.ascontiguousarray(values, dtype)
        if len(values) and not np.array_equal(stored, values):
            raise ValueError(f"a value of {name} is no {dtype}")
        if name not in self._files:
            self._files[name] = (self._folder / f"{name}.bin").open("wb")
            self._notes[name] = {"dtype": dtype, "length": 0}
            self._digests[name] = hashlib.sha256()
        self._files[name].write(stored.data)
        self._digests[name].update(stored.data)
        self._notes[name]["length"] += len(stored)

    def length(self, name: str) -> int:
        """Values that a column has so far."""
        return int(self._notes[name]["length"]) if name in self._notes else 0

    def __enter__(self) -> ColumnWriter:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def seal(self, about: Mapping[str, JsonValue]) -> None:
        """Write the note. Now the columns are complete."""
        for name, file in self._files.items():
            file.flush()
            sync(self._folder / f"{name}.bin")
            self._notes[name]["sha256"] = self._digests[name].hexdigest()
        write_digested(self._folder / NOTE, {"columns": self._notes, "about": dict(about)})


def open_columns(
    folder: Path,
    build: Callable[[ColumnWriter], Mapping[str, JsonValue]],
    *,
    check: bool = True,
    unchecked: Collection[str] = (),
) -> MappedColumns:
    """Open the columns in a folder. The first process that asks for them builds them; others wait for it.

    check: compare each file with its digest; columns that were changed are built again. One process of a machine is
    enough for that. unchecked: columns that are too large for it, which are checked where they are read.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    if (found := _find(folder, check, unchecked)) is not None:
        return found
    lock = folder.with_name(f"{folder.name}.lock")
    with wait_for_lock(lock, f"the columns of {folder.name}", BUILD_SECONDS, lambda *_: None):
        if (found := _find(folder, check, unchecked)) is not None:
            return found
        _build(folder, build)
    return _open(folder)


def forget_columns(folder: Path) -> None:
    """Let the next process that asks for these columns build them again: they were found to be changed."""
    (folder / NOTE).unlink(missing_ok=True)


def _find(folder: Path, check: bool, unchecked: Collection[str]) -> MappedColumns | None:  # noqa: FBT001 - as it was given
    try:
        found = _open(folder)
        if check:
            _check(folder, unchecked)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("columns cannot be used and are made again: %s; at %s", error, folder)
        return None
    return found


def _open(folder: Path) -> MappedColumns:
    found = read_digested(folder / NOTE)
    if not found.has_digest:
        raise ValueError("the note has no digest")
    arrays = {name: _map(folder / f"{name}.bin", note) for name, note in found.content["columns"].items()}
    return MappedColumns(folder, arrays, found.content["about"])


def _check(folder: Path, unchecked: Collection[str]) -> None:
    for name, note in read_digested(folder / NOTE).content["columns"].items():
        if name not in unchecked and sha256_of(folder / f"{name}.bin") != note["sha256"]:
            raise ValueError(f"the column {name} was changed")


def _map(path: Path, note: Mapping[str, Any]) -> Array:
    dtype, length = np.dtype(note["dtype"]), int(note["length"])
    if path.stat().st_size != length * dtype.itemsize:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes, expected {length * dtype.itemsize}")
    if not length:
        return np.empty(0, dtype)
    # A plain array on the same memory: slicing a memmap takes microseconds.
    return np.asarray(np.memmap(path, dtype, "r"))


def _build(folder: Path, build: Callable[[ColumnWriter], Mapping[str, JsonValue]]) -> None:
    """Build in a folder of another name, and rename it. What was damaged goes first."""
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".partial"))
    try:
        with ColumnWriter(temporary) as writer:
            writer.seal(build(writer))
        temporary.chmod(mode_in(folder.parent) | 0o111)
        if folder.exists():
            shutil.rmtree(folder)
        _rename(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _rename(temporary: Path, folder: Path) -> None:
    """Give the folder its name. Where locks do nothing another machine may have built the same meanwhile."""
    try:
        temporary.rename(folder)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
    sync(folder.parent)
