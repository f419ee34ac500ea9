"""Exit code and message of a training that did not end well, for whoever started it.

Two ways, for one may fail: a line in a pipe that the trainer inherits, which needs no disk, and `exit.json` in the
training's folder, which the ranks of several machines share.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from wavlm.storage.files import read_json, write_json

EXIT_NOTE_FILE = "exit.json"
MAX_CHARACTERS = 2000  # of a message in the pipe: the kernel writes up to 4,096 bytes whole
PIPE_BYTES = 65_536


class ExitNote(BaseModel):
    """How an attempt ended."""

    model_config = ConfigDict(frozen=True)

    exit_code: int  # as in wavlm.errors
    message: str  # "CODE: what went wrong and what to do"; empty if it went well


def send_exit_note(descriptor: int, note: ExitNote) -> None:
    """Write a note into a pipe. It is lost if nobody reads, or if the pipe is full of others' notes."""
    short = note.model_copy(update={"message": note.message[:MAX_CHARACTERS]})
    with suppress(OSError):
        os.set_blocking(descriptor, False)
        os.write(descriptor, f"{short.model_dump_json()}\n".encode()[:4096])


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


def remove_exit_note(folder: Path) -> None:
    """Remove the note if there is one: a new attempt starts, or this one ended well."""
    (folder / EXIT_NOTE_FILE).unlink(missing_ok=True)
