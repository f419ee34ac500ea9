"""The ordered map: items ahead of the reader, in threads."""

from __future__ import annotations

import threading

import pytest

from wavlm.execution.ordered_map import open_ordered_map


def test_threads_work_ahead_but_keep_the_order() -> None:
    seen = set()

    def work(number: int) -> int:
        seen.add(threading.current_thread())
        return number * number

    with open_ordered_map(threads=2) as ordered_map:
        results = ordered_map(work, range(100))
        assert next(results) == 0
        assert list(results) == [number * number for number in range(1, 100)]
    assert threading.current_thread() not in seen


def test_only_a_few_items_per_thread_are_read_ahead() -> None:
    read = []

    def items() -> object:
        for number in range(1000):
            read.append(number)
            yield number

    with open_ordered_map(threads=2) as ordered_map:
        assert next(ordered_map(abs, items())) == 0
        assert len(read) < 20


def test_an_error_in_a_thread_is_raised_for_its_item() -> None:
    with open_ordered_map(threads=2) as ordered_map:
        results = ordered_map(lambda number: 1 // (5 - number), range(50))
        assert [next(results) for _ in range(5)] == [0, 0, 0, 0, 1]
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_without_threads_each_item_is_computed_when_it_is_asked_for() -> None:
    computed = []
    with open_ordered_map(threads=0) as ordered_map:
        results = ordered_map(lambda number: computed.append((number, threading.current_thread())), range(50))
        next(results)
    assert computed == [(0, threading.current_thread())]
