"""The cause of a failure of MLflow: the deepest error of the system that says something."""

from __future__ import annotations

from tasks.registry.cause import cause_of


def test_an_error_of_the_system_without_words_does_not_hide_one_with_words() -> None:
    inner = OSError("wrapped by a library, without a number")
    middle = ConnectionRefusedError(111, "Connection refused")
    outer = RuntimeError("MLflow says something else")
    middle.__cause__, outer.__cause__ = inner, middle
    assert inner.strerror is None
    assert cause_of(outer, "http://127.0.0.1:5000") == "Connection refused"


def test_errors_of_the_system_without_words_are_better_than_what_wraps_them() -> None:
    outer = RuntimeError("MLflow says something else")
    outer.__cause__ = OSError("the tunnel is down")
    assert cause_of(outer, "http://127.0.0.1:5000") == "the tunnel is down"
