"""`places.parquet`: where the audio of a corpus lies that was left in its archives, and never unpacked.

| column | type | |
|---|---|---|
| path | string | as the manifest spells it |
| archive | string | name of a file of the downloads folder |
| offset | int64 | of the first byte in the archive |
| bytes | int64 | size of the file |

It says where bytes lie, and not what they are: the manifest has their sha256, and the shards stage compares it. So the
table is about the folder of the corpus, and no part of what is sealed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wavlm.corpus.audio.file_bytes import Inside, Place
from wavlm.corpus.layouts.names import path_from_text, path_to_text
from wavlm.errors import BadDataError
from wavlm.storage.seals import PLACES_FILE

if TYPE_CHECKING:  # most corpora have no such table
    import pyarrow as pa


class Left(NamedTuple):
    """A file that was left in its archive."""

    path: str
    archive: str
    offset: int
    bytes: int


def write_places(folder: Path, files: Iterable[Left]) -> None:
    """Write the table; none if no file was left, and a table of an earlier attempt goes."""
    rows = [file._replace(path=path_to_text(file.path)) for file in files]
    if not rows:
        (folder / PLACES_FILE).unlink(missing_ok=True)
        return
    import pyarrow as pa

    from wavlm.storage.parquet import write_parquet

    columns = map(list, zip(*rows, strict=True))
    write_parquet(folder / PLACES_FILE, pa.table(dict(zip(Left._fields, columns, strict=True))))


def find_place(folder: Path, path: str, archives: Path | None) -> Place:
    """Where the bytes of a recording's file are: in the folder of its corpus, or in an archive below `archives`.

    Raises BadDataError (ARCHIVE_MISSING) if it was left in an archive that is not there any more.
    """
    own = folder / path
    if archives is None or own.exists() or not (folder / PLACES_FILE).exists():
        return own
    left = _read_places(folder, (folder / PLACES_FILE).stat().st_mtime_ns).get(path)
    if left is None:
        return own
    archive = archives / left.archive
    if not archive.exists():
        raise BadDataError(
            "ARCHIVE_MISSING",
            f"the archive that holds {own.name} is gone; at {archive}; make the corpus again: "
            "wavlm stage corpus RECIPE --redo",
        )
    return Inside(archive, left.offset, left.bytes, own.name)


def has_archives(folder: Path, archives: Path) -> bool:
    """Whether all audio that was left in archives can still be read there."""
    if not (folder / PLACES_FILE).exists():
        return False
    names = _read(folder, ["archive"])["archive"].unique().to_pylist()
    return all((archives / name).exists() for name in names)


@lru_cache(maxsize=8)  # a worker packs parts of few corpora
def _read_places(folder: Path, _: int) -> Mapping[str, Left]:
    columns = (_read(folder, list(Left._fields))[name].to_pylist() for name in Left._fields)
    rows = (Left(*row) for row in zip(*columns, strict=True))
    return {path_from_text(row.path): row for row in rows}


def _read(folder: Path, columns: list[str]) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.read_table(folder / PLACES_FILE, columns=columns, page_checksum_verification=True)
