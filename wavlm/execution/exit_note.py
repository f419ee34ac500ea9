"""exit.json: exit code and message of a training that did not end well.

torchrun turns every failure of a rank into exit code 1. Whoever started the trainer finds the real code here.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from wavlm.storage.files import read_json, write_json

EXIT_NOTE_FILE = "exit.json"


class ExitNote(BaseModel):
    """How an attempt ended."""

    model_config = ConfigDict(frozen=True)

    exit_code: int  # as in wavlm.errors
    message: str  # "CODE: what went wrong and what to do"


def write_exit_note(folder: Path, note: ExitNote) -> None:
    write_json(folder / EXIT_NOTE_FILE, note.model_dump())


def read_exit_note(folder: Path) -> ExitNote | None:
    """The note in a training's folder; None if there is none."""
    path = folder / EXIT_NOTE_FILE
    return ExitNote.model_validate(read_json(path)) if path.exists() else None


def remove_exit_note(folder: Path) -> None:
    """Remove the note if there is one: a new attempt starts, or this one ended well."""
    (folder / EXIT_NOTE_FILE).unlink(missing_ok=True)
