"""What each rank is doing now, where all ranks can read it: for the one that finds out that an update hangs."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Any

ANSWER_SECONDS = 5.0


class Board:
    """What each rank is doing, for the one that finds out that an update hangs."""

    def __init__(self, store: Any, rank: int = 0, world: int = 1) -> None:
        """store: of torch.distributed; None if there is one rank."""
        self._store, self._rank, self._world = store, rank, world
        self._own = "starts"

    def write(self, doing: str) -> None:
        """Say what this rank does from now on."""
        self._own = doing
        if self._store is not None:
            with suppress(RuntimeError):  # rank 0 has gone, as the next collective will notice
                self._store.set(f"board/{self._rank}", f"{doing}; on {socket.gethostname()}")

    def read(self, seconds: float = ANSWER_SECONDS) -> list[str]:
        """What each rank does, in order of rank; empty for one that has not said anything, or if nobody answers.

        The rank that hangs may be the one that keeps the store. So an answer is waited for in a thread, for `seconds`.
        """
        if self._store is None:
            return [self._own]
        found = [""] * self._world
        found[self._rank] = self._own
        asking = threading.Thread(target=self._ask, args=(found,), daemon=True)
        asking.start()
        asking.join(seconds)
        return list(found)

    def _ask(self, found: list[str]) -> None:
        with suppress(RuntimeError):
            for number in range(self._world):
                if self._store.check([f"board/{number}"]):
                    found[number] = self._store.get(f"board/{number}").decode()
