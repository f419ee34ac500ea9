"""How long a transfer may take, how often it is tried, and how much memory it may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """Limits of one transfer. A transfer that is slower than `slowest_bytes_per_second` counts as failed."""

    attempts: int = 4  # each begins anew; within one, the client continues a body that was cut
    pause_seconds: float = 2.0  # before the second attempt; before each later one it is four times the one before
    retries: int = 3  # of the client, within an attempt
    silent_seconds: float = 30.0  # without a byte
    base_seconds: float = 60.0  # of a request without a body
    slowest_bytes_per_second: float = 250_000.0
    memory_bytes: int = 3 << 30  # of the process that transfers: an answer without an end ends it

    def seconds_for(self, num_bytes: int) -> float:
        """The longest time of an attempt that transfers so many bytes: a power of two times `base_seconds`."""
        seconds = self.base_seconds
        while seconds < self.base_seconds + num_bytes / self.slowest_bytes_per_second:
            seconds *= 2
        return seconds


PATIENCE = Patience()
