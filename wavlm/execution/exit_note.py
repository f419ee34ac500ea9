"""Exit code and message of a training that did not end well, for whoever started it.

Two ways, for one may fail: a line in a pipe that the trainer inherits, which needs no disk, and `exit.json` in the
training's folder, which the ranks of several machines share.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from wavlm.errors import Code
from wavlm.storage.files import read_json, write_json

EXIT_NOTE_FILE = "exit.json"
MAX_LINE_BYTES = 4096  # of a note in the pipe: the kernel writes so many whole (PIPE_BUF in pipe(7))
CUT = " ... "
PIPE_BYTES = 65_536


class ExitNote(BaseModel):
    """How an attempt ended."""

    model_config = ConfigDict(frozen=True)

    exit_code: int  # as in wavlm.errors
    message: str  # "CODE: what went wrong and what to do"; empty if it went well

    @field_validator("message", mode="before")
    @classmethod
    def _escape(cls, message: object) -> object:
        """Bytes of a file name that are no UTF-8 as `\\udcff`: JSON cannot hold them."""
        return message.encode("utf-8", "backslashreplace").decode() if isinstance(message, str) else message


def send_exit_note(descriptor: int, note: ExitNote) -> None:
    """Write a note into a pipe. It is lost if nobody reads, or if the pipe is full of others' notes."""
    kept = len(note.message)
    line = _to_line(note)
    while len(line) > MAX_LINE_BYTES:
        kept = kept * 3 // 4
        line = _to_line(note.model_copy(update={"message": _cut_middle(note.message, kept)}))
    with suppress(OSError):
        os.set_blocking(descriptor, False)
        os.write(descriptor, line)


def _to_line(note: ExitNote) -> bytes:
    return f"{note.model_dump_json()}\n".encode()


def _cut_middle(text: str, kept: int) -> str:
    """So many characters of a text: most from its beginning, and its end, which says what to do."""
    tail = kept // 4
    return text[: kept - tail] + CUT + text[len(text) - tail :]


def receive_exit_notes(descriptor: int) -> list[ExitNote]:
    """The notes that wait in a pipe, without waiting for more."""
    os.set_blocking(descriptor, False)
    lines: list[bytes] = []
    with suppress(BlockingIOError):
        lines = os.read(descriptor, PIPE_BYTES).splitlines()
    notes = []
    for line in lines:
        with suppress(ValidationError):  # cut: another note of the same failure says the same
            notes.append(ExitNote.model_validate_json(line))
    return notes


def write_exit_note(folder: Path, note: ExitNote) -> None:
    write_json(folder / EXIT_NOTE_FILE, note.model_dump())


def read_exit_note(folder: Path) -> ExitNote | None:
    """The note in a training's folder; None if there is none."""
    path = folder / EXIT_NOTE_FILE
    return ExitNote.model_validate(read_json(path)) if path.exists() else None


def find_exit_note(folder: Path) -> list[ExitNote]:
    """The note in a training's folder, none if there is none that can be read."""
    with suppress(OSError, ValueError):
        note = read_exit_note(folder)
        return [note] if note else []
    return []


def is_of_neighbour(note: ExitNote) -> bool:
    """Whether a rank says only that it lost another one, which may have said more."""
    return note.message.startswith(f"{Code.RANK_LOST}:")


def remove_exit_note(folder: Path) -> None:
    """Remove the note if there is one: a new attempt starts, or this one ended well."""
    (folder / EXIT_NOTE_FILE).unlink(missing_ok=True)
