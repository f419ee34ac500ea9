"""exit.json is read back as it was written, and gone when it was removed."""

import os
from pathlib import Path

import pytest

from wavlm.execution.exit_note import (
    EXIT_NOTE_FILE,
    ExitNote,
    find_exit_note,
    read_exit_note,
    receive_exit_notes,
    remove_exit_note,
    send_exit_note,
    write_exit_note,
)
from wavlm.storage.files import read_json


def test_a_note_is_read_back_until_it_is_removed(tmp_path: Path) -> None:
    assert read_exit_note(tmp_path) is None
    note = ExitNote(exit_code=65, message="NOT_FINITE: update 2")
    write_exit_note(tmp_path, note)
    assert read_json(tmp_path / EXIT_NOTE_FILE) == {"exit_code": 65, "message": "NOT_FINITE: update 2"}
    assert read_exit_note(tmp_path) == note
    remove_exit_note(tmp_path)
    remove_exit_note(tmp_path)
    assert read_exit_note(tmp_path) is None


def through_a_pipe(*notes: ExitNote) -> list[ExitNote]:
    receiving, sending = os.pipe()
    try:
        for note in notes:
            send_exit_note(sending, note)
        return receive_exit_notes(receiving)
    finally:
        os.close(receiving)
        os.close(sending)


@pytest.mark.parametrize("character", ["a", "é", "語", "😀", "\n", "\x01", '"', "\udcff"], ids=ascii)
def test_a_long_message_arrives_in_any_script_with_its_code_and_its_advice(character: str) -> None:
    """The line has to fit what the kernel writes whole, which is counted in bytes, not in characters."""
    message = f"CHECKSUM: found x; at /{character * 5000}; make it again"
    first, second = through_a_pipe(ExitNote(exit_code=65, message=message), ExitNote(exit_code=1, message=""))
    assert (first.exit_code, second.exit_code) == (65, 1)
    assert first.message.startswith("CHECKSUM: found x; at /")
    assert first.message.endswith("; make it again")
    assert len(first.message.encode()) > 600


def test_a_short_message_arrives_as_it_is() -> None:
    note = ExitNote(exit_code=65, message="CHECKSUM: 語; at /é; again")
    assert through_a_pipe(note) == [note]


def test_a_name_that_is_no_utf8_can_be_written_down(tmp_path: Path) -> None:
    write_exit_note(tmp_path, ExitNote(exit_code=65, message=f"X: at {os.fsdecode(bytes([0x66, 0xFF]))}; y"))
    assert find_exit_note(tmp_path) == [ExitNote(exit_code=65, message="X: at f\\udcff; y")]


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"\xff"])
def test_a_note_that_cannot_be_read_is_none(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / EXIT_NOTE_FILE).write_bytes(content)
    assert find_exit_note(tmp_path) == []
