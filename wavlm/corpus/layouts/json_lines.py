"""Read JSONL: one JSON object per line, also with gzip, one line at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from wavlm.corpus.layouts.rows import RowError, parse_rows
from wavlm.corpus.layouts.table import read_lines, shorten

MAX_LETTERS = 1 << 26  # a cut of a long meeting with the times of its words has megabytes
Object = dict[str, Any]
Made = TypeVar("Made")


def parse_json_lines(path: Path, parse: Callable[[int, Object], Iterable[Made]]) -> Iterator[Made]:
    """What `parse` makes of each object of a file with its line. Blank lines are left out.

    Raises BadDataError (LAYOUT) with all lines that are no object or that `parse` refuses, or if the file cannot be
    read to its end.
    """
    lines = ((line, text) for line, text in read_lines(path, MAX_LETTERS) if text.strip())
    yield from parse_rows(path, lines, lambda line, text: parse(line, load_object(text)))


def load_object(text: str) -> Object:
    """The JSON object of a text. Raises RowError for anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RowError(f"no JSON ({error}): {shorten(text)}", "write one JSON object per line") from error
    if not isinstance(found, dict):
        raise RowError(f"a JSON {type(found).__name__}: {shorten(text)}", "write one JSON object per line")
    return found
