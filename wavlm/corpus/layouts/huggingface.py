"""Layout of Hugging Face `datasets` on disk: Parquet files and Arrow streams with the audio in them.

Each file is unpacked once to a folder of its name (`unpack_rows`): a file of audio per row, and `rows.jsonl`, which has
the rows without their audio. The layout reads that folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from wavlm.corpus.layouts.columns import columns_of
from wavlm.corpus.layouts.json_lines import Object, parse_json_lines
from wavlm.corpus.layouts.manifests import Listing, Manifest, find_listed
from wavlm.corpus.layouts.named_columns import require_columns, unreadable
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.rows import SPLITS, Entry, Faults, RowError, to_name, to_text
from wavlm.corpus.layouts.sounds import AUDIO_SUFFIXES, suffix_of
from wavlm.corpus.layouts.table import table_fault
from wavlm.corpus.layouts.tree import Tree
from wavlm.specs.containers import HuggingfaceLayout
from wavlm.storage.passing import refuse_passing

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = "rows.jsonl"
PARQUET = b"PAR1"  # what a file of Parquet begins with
BATCH_ROWS = 32  # of Parquet, whose rows hold megabytes
CACHED = "cache-"  # what `datasets` leaves beside the data of `save_to_disk`
_FIRST_WORD = re.compile(r"[A-Za-z]+")


def find_files(layout: HuggingfaceLayout, tree: Tree) -> list[PurePosixPath]:
    """The files of a folder that hold rows. Raises BadDataError (LAYOUT) if there is none."""
    patterns = layout.data
    if patterns == type(layout).model_fields["data"].default:
        patterns = tuple(pattern for pattern in patterns if tree.files(pattern)) or patterns
    return [path for path in find_listed(tree, patterns, "data") if not path.name.startswith(CACHED)]


def unpack_rows(layout: HuggingfaceLayout, path: Path) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of what a file is unpacked to: the audio of its rows, and the rows.

    Raises BadDataError (LAYOUT) if it cannot be read, for columns that are not there, and with all bad rows.
    """
    faults, lines = Faults(path), []
    for number, cells in _read(layout, path):
        try:
            row, blob = _row(layout, number, cells)
        except RowError as error:
            faults.add(number, error)
            continue
        lines.append(json.dumps(row, sort_keys=True))
        if blob is not None:
            yield row["audio"], blob
    faults.check()
    yield ROWS, "".join(f"{line}\n" for line in lines).encode()


def read_huggingface(layout: HuggingfaceLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are those of `id_column`, or made of the file and the number of the row."""
    listing = Listing(tree, layout.max_left_over_rows, advice="embed the audio in the file, as save_to_disk does")
    for rows in tree.files(f"**/{ROWS}"):
        folder = rows.parent
        listing.take(Manifest(folder, split_of(folder)), _entries(tree.root / rows, folder))
    yield from listing.recordings()


def split_of(path: PurePosixPath) -> str | None:
    """The split that a file or its folder is named after, such as `train-00000-of-00002.parquet` or `test/data-...`."""
    for name in (path.name, path.parent.name):
        word = _FIRST_WORD.match(name)
        if word and word.group().lower() in SPLITS:
            return SPLITS[word.group().lower()]
    return None


def _entries(path: Path, folder: PurePosixPath) -> Iterable[Entry]:
    def parse(_: int, row: Object) -> Iterable[Entry]:
        audio = f"{folder.name}/{row['audio']}"  # paths start beside the file that was unpacked
        name = row["name"] or f"{folder.with_suffix('')}/{row['line']:08d}"
        yield Entry(**{**row, "audio": audio, "name": name})

    return parse_json_lines(path, parse)


def _row(layout: HuggingfaceLayout, number: int, cells: dict[str, Any]) -> tuple[Object, bytes | None]:
    """A row without its audio, as the fields of an `Entry`, and the audio; None: there is none."""
    audio = cells[layout.audio_column] or {}
    blob, path = audio.get("bytes"), to_text(audio.get("path"))
    text, name = cells.get(layout.text_column), to_text(cells.get(layout.id_column)).strip()
    if layout.id_column and not name:
        raise RowError(f"{layout.id_column} is empty", "give each row a name")
    suffix = suffix_of(path)
    entry = Entry(
        line=number,
        audio=f"{number:08d}{suffix if suffix in AUDIO_SUFFIXES else ''}",
        name=name,
        speaker=to_name(cells.get(layout.speaker_column)),
        language=to_name(cells.get(layout.language_column)),
        text=None if text is None else to_text(text),
        is_missing=not blob,
    )
    return {**vars(entry)}, blob or None


def _read(layout: HuggingfaceLayout, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a file with their numbers from 1: the columns that the layout names."""
    import pyarrow as pa

    columns = columns_of(layout)
    number = 0
    try:
        for batch in _batches(layout, path, columns):
            for row in batch.select(columns).to_pylist():
                number += 1
                yield number, row
    except (OSError, pa.ArrowException, ValueError) as error:
        refuse_passing(error, path)
        raise unreadable(path, error) from error


def _batches(layout: HuggingfaceLayout, path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if _is_parquet(path):
        with pq.ParquetFile(path) as file:
            _check_schema(layout, path, file.schema_arrow, columns)
            yield from file.iter_batches(BATCH_ROWS, columns=columns)
        return
    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
        _check_schema(layout, path, stream.schema, columns)
        for batch in stream:
            yield from (batch.slice(start, BATCH_ROWS) for start in range(0, batch.num_rows, BATCH_ROWS))


def _is_parquet(path: Path) -> bool:
    """Whether a file is Parquet; else it is an Arrow stream. A download has no name that says it."""
    with path.open("rb") as file:
        return file.read(len(PARQUET)) == PARQUET


def _check_schema(layout: HuggingfaceLayout, path: Path, schema: pa.Schema, columns: list[str]) -> None:
    """Raise BadDataError (LAYOUT) unless the columns are there, and the audio has bytes and a path."""
    import pyarrow as pa

    require_columns(path, schema.names, columns)
    kind = schema.field(layout.audio_column).type
    if not pa.types.is_struct(kind) or {field.name for field in kind} != {"bytes", "path"}:
        what = f"the column {layout.audio_column} holds {kind}, and no audio with bytes and path"
        raise table_fault(path, 0, what, "name the audio_column in the corpus spec, or cast it to the feature Audio")
