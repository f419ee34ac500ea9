"""What each rank is doing now, where all ranks can read it: for the one that finds out that an update hangs."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any


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

    def read(self) -> list[str]:
        """What each rank does, in order of rank; empty for one that has not said anything, or if nobody answers."""
        if self._store is None:
            return [self._own]
        found = [""] * self._world
        found[self._rank] = self._own
        with suppress(RuntimeError):
            for number in range(self._world):
                if self._store.check([f"board/{number}"]):
                    found[number] = self._store.get(f"board/{number}").decode()
        return found
