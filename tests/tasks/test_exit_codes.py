"""Each way in which the trainer ends is the error, with the exit code, that the user sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.pretrain import _failure
from wavlm.errors import CodedError
from wavlm.execution.exit_note import EXIT_NOTE_FILE
from wavlm.execution.launch import LOG
from wavlm.storage.files import write_json

CODES = {
    2: "UsageError", 65: "BadDataError", 69: "ServiceMissingError", 73: "CannotWriteError", 75: "StoppedError",
    77: "LockedError",
}  # fmt: skip


@pytest.mark.parametrize("code", CODES)
def test_an_exit_code_and_a_note_are_an_error_of_that_code(tmp_path: Path, code: int) -> None:
    write_json(tmp_path / EXIT_NOTE_FILE, {"exit_code": code, "message": "SOME_CODE: what: and where; what to do"})
    error = _failure(code, tmp_path)
    assert isinstance(error, CodedError)
    assert (type(error).__name__, error.exit_code) == (CODES[code], code)
    assert str(error) == "SOME_CODE: what: and where; what to do"


def test_a_trainer_that_left_no_word_is_shown_with_the_end_of_its_log(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text("x" * 5000 + "the last words")
    for code in (1, -9, 65):
        error = _failure(code, tmp_path)
        assert type(error) is RuntimeError
        assert f"code {code}" in str(error)
        assert str(error).endswith("the last words")
        assert len(str(error)) < 2500
