"""Rows with named columns: CSV, TSV, Parquet and JSONL, one row at a time."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from wavlm.corpus.layouts.json_lines import parse_json_lines
from wavlm.corpus.layouts.rows import parse_rows
from wavlm.corpus.layouts.table import MAX_FIELD_LETTERS, read_header, read_lines, read_table, shorten, table_fault
from wavlm.errors import BadDataError
from wavlm.storage.passing import refuse_passing

if TYPE_CHECKING:  # imported where there is Parquet: `wavlm check` looks at the first lines of other tables
    import pyarrow as pa

SEPARATORS = ",;"  # of a CSV; spreadsheets of some countries write semicolons
BATCH_ROWS = 4096
Cells = dict[str, Any]
Made = TypeVar("Made")
Parse = Callable[[int, Cells], Iterable[Made]]


def parse_named(path: Path, columns: Sequence[str], parse: Parse[Made]) -> Iterator[Made]:
    """What `parse` makes of each row, with its line (of Parquet: its number) and these columns.

    The ending of the file says what it is; without one that is known it is a TSV. A value that is missing is None.
    Raises BadDataError (LAYOUT) for columns that are not there, and with all rows that `parse` refuses.
    """
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix in (".jsonl", ".json", ".ndjson"):
        return parse_json_lines(path, parse)
    if suffix == ".parquet":
        return parse_rows(path, _parquet(path, columns), parse)
    if suffix == ".csv":
        return parse_rows(path, _csv(path, columns), parse)
    return parse_rows(path, _tsv(path, columns), parse)


def check_named(path: Path, columns: Sequence[str]) -> None:
    """Raise BadDataError (LAYOUT) for a table that lacks a column. Reads its first line; nothing of JSONL."""
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix == ".parquet":
        require_columns(path, _schema(path).names, columns)
    elif suffix == ".csv":
        _header(path, columns)
    elif suffix not in (".jsonl", ".json", ".ndjson"):
        read_header(path, columns)


def _tsv(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Cells]]:
    for row in read_table(path, columns):
        yield row.line, dict(zip(columns, row.values, strict=True))


def _csv(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Cells]]:
    names, separator = _header(path, columns)
    places = [names.index(column) for column in columns]
    rows = _read_csv(path, separator)
    next(rows)
    for line, row in rows:
        if len(row) < len(names) or any(cell.strip() for cell in row[len(names) :]):
            what = f"a row of {len(row)} fields, expected {len(names)}: {shorten(row[0])}"
            raise table_fault(path, line, what, "correct the row; a field that holds a comma stands in quotes")
        yield line, {column: row[place] for column, place in zip(columns, places, strict=True)}


def _header(path: Path, columns: Sequence[str]) -> tuple[list[str], str]:
    """The names of the columns of a CSV, and what separates them."""
    found = {separator: next(_read_csv(path, separator), (1, []))[1] for separator in SEPARATORS}
    separator, names = max(found.items(), key=lambda item: sum(column in item[1] for column in columns))
    names = [name.strip("\ufeff ") for name in names]
    require_columns(path, names, columns)
    return names, separator


def _read_csv(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV that are not blank, with the line at which each ends."""
    csv.field_size_limit(MAX_FIELD_LETTERS)
    lines = (f"{line}\n" for _, line in read_lines(path))
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise table_fault(path, reader.line_num, f"no CSV: {error}", "correct the quotes of the row") from error


def _parquet(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Cells]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(path)
    require_columns(path, schema.names, columns)
    for column in columns:
        if pa.types.is_nested(schema.field(column).type):
            what = f"the column {column} holds {schema.field(column).type}, and no names"
            raise table_fault(path, 0, what, "read files with the audio in them with the layout huggingface")
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=list(columns)):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (OSError, pa.ArrowException, ValueError) as error:
        refuse_passing(error, path)
        raise unreadable(path, error) from error


def _schema(path: Path) -> pa.Schema:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowException, ValueError) as error:
        refuse_passing(error, path)
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> BadDataError:
    """The error for a Parquet or Arrow file that cannot be read."""
    return table_fault(path, 0, f"cannot be read: {shorten(str(error))}", "make the file again, or copy it again")


def require_columns(path: Path, names: Sequence[str], columns: Sequence[str]) -> None:
    """Raise BadDataError (LAYOUT) unless a table has each of these columns, once."""
    if missing := [column for column in columns if column not in names]:
        found = ", ".join(shorten(name) for name in names)
        what = f"no column {', '.join(missing)}, but {found or 'nothing'}"
        raise table_fault(path, 1, what, "name its columns in the corpus spec")
    if twice := [column for column in columns if names.count(column) > 1]:
        raise table_fault(path, 1, f"two columns {twice[0]}", "give each column a name of its own")
