"""Write files atomically: temporary name, fsync, rename, fsync of the folder. A file that exists is complete."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NoReturn

from wavlm.errors import BadDataError, CannotWriteError
from wavlm.storage.sharing import mode_in

CHUNK_BYTES = 1 << 20


@contextmanager
def open_atomic(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears under `path`, complete and durable, only if the block ends without an error.

    Raises CannotWriteError, naming the path, if the disk is full or the folder cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        yield file


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Like `open_atomic`, for libraries that need a path: yields a temporary path beside `path`."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    except OSError as error:
        _refuse(error, path)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(mode_in(path.parent))
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        _refuse(error, path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, as UTF-8."""
    with open_atomic(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON with sorted keys, atomically. NaN and infinity raise ValueError."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises ValueError, naming the path, if it is not JSON."""
    try:
        return json.loads(path.read_text())
    except (ValueError, RecursionError) as error:  # other bytes than UTF-8, no JSON, or too many brackets
        raise ValueError(f"{path} is not JSON: {error}") from error


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, in hex. The file is read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_pieces(path: Path) -> Iterator[str]:
    """Like `sha256_of`, with a sign of life per whole piece: "" while the file is read, and the digest at the end."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            digest.update(piece)
            if len(piece) == CHUNK_BYTES:
                yield ""
    yield digest.hexdigest()


def note_whole(path: Path, content: Path | None = None) -> None:
    """Note the sha256 of a file beside it, in a file that is removed before a folder is sealed.

    content: where its bytes are until it is there: whoever finds the file then finds the note.
    """
    write_text(_note_of(path), sha256_of(content or path))


def is_whole(path: Path) -> bool:
    """Whether a file that an interrupted stage left is the one that it noted. Reads all of it."""
    try:
        return _note_of(path).read_text() == sha256_of(path)
    except (OSError, ValueError):
        return False


def require_whole(path: Path, remedy: str) -> None:
    """Raise BadDataError (CHECKSUM) if a file is another one than was noted. Reads all of it.

    Earlier versions noted nothing of files that are good.
    """
    if not path.exists() or (_note_of(path).exists() and not is_whole(path)):
        raise BadDataError("CHECKSUM", f"this is not the file that was written; at {path}; {remedy}")


def remove_noted(path: Path) -> None:
    """Remove a file, and the note of its digest. Another rank of the same stage may have done so."""
    path.unlink(missing_ok=True)
    _note_of(path).unlink(missing_ok=True)


def _note_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256")


def sync(path: Path) -> None:
    """Write a file or a folder through to the disk (fsync)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_disk(folder: Path) -> None:
    """Write all that was written to the file system of a folder through to the disk; for very many files (syncfs).

    Other disks of the machine are left alone: one that hangs would hold this up, and a busy one for minutes. Raises
    OSError if something could not be written, which Linux tells from 5.8 on. Where there is no syncfs all is synced.
    """
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        os.sync()
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        if syncfs(handle) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(handle)


@contextmanager
def explain_os_errors(path: Path) -> Iterator[None]:
    """Raise CannotWriteError for a full disk or missing permission. For writes that append to a file."""
    try:
        yield
    except OSError as error:
        _refuse(error, path)


def nearest_existing(path: Path) -> Path:
    """The absolute path, or the nearest place above it at which there is something."""
    return next(item for item in (path, *path.parents) if item.exists() or item.is_symlink())


def _refuse(error: OSError, path: Path) -> NoReturn:
    """Raise CannotWriteError if that is what it means, else the error itself, which is not its own cause."""
    coded = _to_cannot_write(error, path)
    if coded is error:
        raise error
    raise coded from error


def _to_cannot_write(error: OSError, path: Path) -> OSError:
    if isinstance(error, CannotWriteError):
        return error
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return CannotWriteError("DISK_FULL", f"no space left to write; at {path}; free space and run again")
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return CannotWriteError("NOT_WRITABLE", f"the folder cannot be written; at {path}; check its owner")
    return error
