"""Where a long recording is cut."""

from __future__ import annotations

from typing import Literal, NamedTuple

# What is found at a cut: a pause; no pause within reach, but the quietest place; or nobody has looked.
CutKind = Literal["pause", "quiet", "equal"]


class Cut(NamedTuple):
    """The place where a piece of a recording begins."""

    at: int  # sample of the file, at 16 kHz
    kind: CutKind


def num_pieces(samples: int, max_samples: int) -> int:
    """Smallest number of pieces of at most `max_samples`."""
    return max(1, -(-samples // max_samples))


def cut_equally(start: int, samples: int, max_samples: int) -> tuple[Cut, ...]:
    """Cuts into as few pieces as possible, whose lengths differ by one sample at most."""
    count = num_pieces(samples, max_samples)
    return tuple(Cut(start + samples * number // count, "equal") for number in range(1, count))
