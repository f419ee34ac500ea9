"""Each way in which the trainer ends is the error, with the exit code, that the user sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.orchestration.trainer import failure
from wavlm.errors import CodedError
from wavlm.execution.exit_note import ExitNote
from wavlm.execution.launch import LOG

CODES = {
    2: "UsageError", 65: "BadDataError", 69: "ServiceMissingError", 71: "NoResourcesError", 73: "CannotWriteError",
    75: "StoppedError", 77: "LockedError",
}  # fmt: skip


@pytest.mark.parametrize("code", CODES)
def test_an_exit_code_and_its_message_are_an_error_of_that_code(tmp_path: Path, code: int) -> None:
    error = failure(ExitNote(exit_code=code, message="SOME_CODE: what: and where; what to do"), tmp_path)
    assert isinstance(error, CodedError)
    assert (type(error).__name__, error.exit_code) == (CODES[code], code)
    assert str(error) == "SOME_CODE: what: and where; what to do"


def test_a_trainer_that_left_no_word_is_shown_with_the_end_of_its_log(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text("x" * 5000 + "the last words")
    error = failure(ExitNote(exit_code=1, message=""), tmp_path)
    assert type(error) is RuntimeError
    assert "code 1" in str(error)
    assert str(error).endswith("the last words")
    assert len(str(error)) < 2500


@pytest.mark.parametrize("code", [code for code in CODES if code != 75])
def test_a_failure_whose_message_is_lost_keeps_its_exit_code(tmp_path: Path, code: int) -> None:
    error = failure(ExitNote(exit_code=code, message=""), tmp_path)
    assert isinstance(error, CodedError)
    assert (type(error).__name__, error.exit_code, error.code) == (CODES[code], code, "TRAINER_FAILED")
    assert str(tmp_path / LOG) in str(error)


def test_a_stop_without_a_word_is_a_stop_and_a_signal_is_named(tmp_path: Path) -> None:
    stopped = failure(ExitNote(exit_code=75, message=""), tmp_path)
    assert (type(stopped).__name__, stopped.exit_code) == ("StoppedError", 75)  # type: ignore[attr-defined]
    killed = failure(ExitNote(exit_code=128 + 9, message=""), tmp_path)
    assert "SIGKILL" in str(killed)
    assert type(killed).__name__ == "WorkerDiedError"
