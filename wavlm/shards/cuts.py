"""Where a long recording is cut: at pauses, or into equal pieces."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from wavlm.shards.pauses import Frames
from wavlm.specs import SAMPLE_RATE_HZ

# What is found at a cut: a pause; no pause within reach, but the quietest place; or nobody has looked.
CutKind = Literal["pause", "quiet", "equal"]


class Cut(NamedTuple):
    """The place where a piece of a recording begins."""

    at: int  # sample of the file, at the rate of the shards
    kind: CutKind


def num_pieces(samples: int, max_samples: int) -> int:
    """Smallest number of pieces of at most `max_samples`."""
    return max(1, -(-samples // max_samples))


def cut_equally(start: int, samples: int, max_samples: int) -> tuple[Cut, ...]:
    """Cuts into as few pieces as possible, whose lengths differ by one sample at most."""
    count = num_pieces(samples, max_samples)
    return tuple(Cut(start + samples * number // count, "equal") for number in range(1, count))


def has_room(min_samples: int, max_samples: int, sample_rate_hz: int = SAMPLE_RATE_HZ) -> bool:
    """Whether pieces of these lengths leave a choice of where to cut."""
    return 2 * min_samples <= max_samples and max_samples >= 8 * (sample_rate_hz // 100)


def cut_at_pauses(frames: Frames, start: int, samples: int, min_samples: int, max_samples: int) -> tuple[Cut, ...]:
    """Cuts into pieces of `min_samples` to `max_samples`, from the first to the last; `frames` begin at `start`.

    Each cut is in the best pause that makes the piece at least half as long as it may be; else in the best one that
    gives a piece of an allowed length; else, where nobody pauses for so long, at the quietest place of the first range.
    Precondition: `has_room`.
    """
    cuts: list[Cut] = []
    done = 0
    while samples - done > max_samples:
        at, kind = _choose(frames, done, samples - done, min_samples, max_samples)
        cuts.append(Cut(start + at, kind))
        done = at
    return tuple(cuts)


def _choose(frames: Frames, done: int, rest: int, min_samples: int, max_samples: int) -> tuple[int, CutKind]:
    """The next cut behind sample `done`, where `rest` samples are left."""
    longest = min(max_samples, rest - min_samples)
    wanted = _wanted(rest, max_samples)
    wanted = max(wanted[0], min_samples), min(wanted[1], longest)
    for low, high in (wanted, (min_samples, longest)):
        inside = _frames_between(done + low, done + high, frames.frame_samples)
        pauses = np.flatnonzero(frames.is_pause[inside])
        if len(pauses):
            best = pauses[np.argmin(frames.badness[inside][pauses])]
            return _middle(inside.start + int(best), frames.frame_samples), "pause"
    inside = _frames_between(done + wanted[0], done + wanted[1], frames.frame_samples)
    return _middle(inside.start + int(np.argmin(frames.badness[inside])), frames.frame_samples), "quiet"


def _wanted(rest: int, max_samples: int) -> tuple[int, int]:
    """Lengths of the next piece that leave no piece much shorter than half of the longest allowed one."""
    if 2 * rest < 3 * max_samples:  # two pieces are left: about halves
        return (2 * rest - max_samples) // 4, (2 * rest + max_samples) // 4
    return max_samples // 2, max_samples


def _frames_between(low: int, high: int, size: int) -> slice:
    """The frames whose middle lies between two samples, both included."""
    return slice(-(-(low - size // 2) // size), (high - size // 2) // size + 1)


def _middle(frame: int, size: int) -> int:
    return frame * size + size // 2
