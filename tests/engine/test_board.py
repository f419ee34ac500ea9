"""What ranks do, as the one that finds a hang reads it."""

from __future__ import annotations

import threading

from wavlm.engine.board import Board


class Store:
    """A store of torch.distributed, which answers, or hangs as the rank does that keeps it."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.values: dict[str, str] = {}
        self.hangs = hangs
        self.end = threading.Event()

    def set(self, key: str, value: str) -> None:
        self.values[key] = value

    def check(self, keys: list[str]) -> bool:
        if self.hangs:
            self.end.wait()
        return all(key in self.values for key in keys)

    def get(self, key: str) -> bytes:
        return self.values[key].encode()


def test_each_rank_is_read_and_one_that_said_nothing_is_empty() -> None:
    store = Store()
    Board(store, rank=0, world=3).write("update 4")
    own = Board(store, rank=2, world=3)
    own.write("update 5")
    first, second, third = own.read()
    assert first.startswith("update 4; on ")
    assert second == ""
    assert third.startswith("update 5")


def test_a_store_that_hangs_with_its_rank_does_not_keep_the_last_words_back() -> None:
    store = Store(hangs=True)
    own = Board(store, rank=1, world=2)
    own.write("update 5")
    assert own.read(seconds=0.05) == ["", "update 5"]
    store.end.set()
