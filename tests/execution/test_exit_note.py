"""exit.json is read back as it was written, and gone when it was removed."""

from pathlib import Path

from wavlm.execution.exit_note import EXIT_NOTE_FILE, ExitNote, read_exit_note, remove_exit_note, write_exit_note
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
