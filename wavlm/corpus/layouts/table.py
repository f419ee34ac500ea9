"""Read text files that people made with other programs: lines of UTF-8, and tables with tabs and a header.

Whatever is wrong is a BadDataError (LAYOUT) that names file and line and says what to do.
"""

from __future__ import annotations

import gzip
import re
import stat
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from wavlm.errors import BadDataError
from wavlm.storage.encoding import printable

MAX_LINE_LETTERS = 1 << 20
MAX_FIELD_LETTERS = 131_072  # as Python's csv
SHOWN_LETTERS = 60
BYTE_ORDER_MARK = "\ufeff"  # some programs write two

_QUOTED = re.compile(r'"(?:[^"]|"")*""(?:[^"]|"")*"')
_BAD = re.compile("[\x00\udc80-\udcff]")
_OTHER_SEPARATORS = {",": "commas", ";": "semicolons", "|": "bars", " ": "spaces"}
SAVE_AS = "save it as UTF-8 text with tabs between the columns"


@dataclass(frozen=True)
class Row:
    """One row of a table: the wanted columns, and the number of its line."""

    line: int
    values: tuple[str, ...]


def read_lines(path: Path, max_letters: int = MAX_LINE_LETTERS) -> Iterator[tuple[int, str]]:
    """The lines of a text file with their numbers from 1, without their ends. Lines end with LF, CR LF or CR.

    A byte order mark at the start is left out. A file with the ending `.gz` is read through gzip.
    """
    number = 0
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _fault(path, 0, "it is no file", "name a table in the corpus spec")
        with _open(path) as file:
            for number, line in enumerate(iter(lambda: file.readline(max_letters + 1), ""), 1):
                yield number, _checked(path, number, line, max_letters)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        what = f"the compressed file is cut or damaged: {error}"
        raise _fault(path, number + 1, what, "make the file again, or copy it again") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise _fault(path, 0, f"cannot be read: {reason}", "correct its path in the corpus spec") from error


def read_text(path: Path) -> str:
    """A whole text file, with lines that end with LF."""
    return "".join(f"{line}\n" for _, line in read_lines(path))


def read_header(path: Path, columns: Sequence[str]) -> list[str]:
    """The names of all columns of a table that has at least these."""
    _, header = next(read_lines(path), (1, ""))
    return _names(path, header, columns)


def read_table(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """These columns of a table with tabs and a header. Blank rows are left out.

    Quotes are letters, but for a field as spreadsheets and CSV modules write one that holds quotes: quotes around it,
    and each quote in it doubled.
    """
    lines = read_lines(path)
    _, header = next(lines, (1, ""))
    names = _names(path, header, columns)
    places = [names.index(column) for column in columns]
    for number, line in lines:
        fields = line.split("\t")
        if not any(field.strip() for field in fields):
            continue
        _check_row(path, number, fields, names)
        yield Row(number, tuple(_without_quotes(fields[place]) for place in places))


def table_fault(path: Path, line: int, what: str, advice: str) -> BadDataError:
    """The error for a row whose content is wrong."""
    return _fault(path, line, what, advice)


def shorten(text: str) -> str:
    """The start of a field, printable, for a message."""
    return printable(text[:SHOWN_LETTERS]) + ("..." if len(text) > SHOWN_LETTERS else "")


def _open(path: Path) -> TextIO:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="surrogateescape")
    return path.open(encoding="utf-8-sig", errors="surrogateescape")


def _checked(path: Path, number: int, line: str, max_letters: int) -> str:
    bad = _BAD.search(line)
    if bad is not None and bad.group() == "\0":
        raise _fault(path, number, "it holds a NUL byte, so it is no UTF-8 text", SAVE_AS)
    if bad is not None:
        byte = ord(bad.group()) - 0xDC00
        raise _fault(path, number, f"byte 0x{byte:02x} is not UTF-8", SAVE_AS)
    if len(line) > max_letters:
        raise _fault(path, number, f"a line has more than {max_letters} letters", SAVE_AS)
    return line.removesuffix("\n")


def _without_quotes(field: str) -> str:
    return field[1:-1].replace('""', '"') if _QUOTED.fullmatch(field) else field


def _names(path: Path, header: str, columns: Sequence[str]) -> list[str]:
    names = [name.strip(f"{BYTE_ORDER_MARK} ") for name in header.split("\t")]
    missing = [column for column in columns if column not in names]
    if missing:
        found = ", ".join(shorten(name) for name in names)
        raise _fault(path, 1, f"no column {', '.join(missing)}, but {found or 'nothing'}", _advice(names, missing))
    twice = [column for column in columns if names.count(column) > 1]
    if twice:
        raise _fault(path, 1, f"two columns {twice[0]}", "give each column a name of its own")
    return names


def _advice(names: Sequence[str], missing: Sequence[str]) -> str:
    header = names[0] if len(names) == 1 else ""
    for separator, word in _OTHER_SEPARATORS.items():
        if any(column in re.split(re.escape(separator), header) for column in missing):
            return f"its columns are separated by {word}; {SAVE_AS}"
    return "name its columns in the corpus spec (id_column, text_column, ...), or correct its first line"


def _check_row(path: Path, number: int, fields: Sequence[str], names: Sequence[str]) -> None:
    extra = any(field.strip() for field in fields[len(names) :])
    if len(fields) < len(names) or extra:
        what = f"a row of {len(fields)} fields, expected {len(names)}: {shorten(fields[0])}"
        raise _fault(path, number, what, "correct the row; a field cannot hold a tab or a line break")
    if any(len(field) > MAX_FIELD_LETTERS for field in fields):
        raise _fault(path, number, f"a field has more than {MAX_FIELD_LETTERS} letters", "correct the row")


def _fault(path: Path, line: int, what: str, advice: str) -> BadDataError:
    place = f", line {line}" if line else ""
    return BadDataError("LAYOUT", f"{what}; in {printable(str(path))}{place}; {advice}")
