"""A share of a stage's parts: what one of several processes makes that know nothing of each other, as an array of jobs.

Each takes every n-th part. The parts end as files in the folder of the artifact; the ordinary call of the stage finds
them, makes what is left, and seals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from wavlm.execution.pool import Prepare, run_in_pool
from wavlm.execution.progress import Progress

P = TypeVar("P")
R = TypeVar("R")


class ShareMade(Exception):  # noqa: N818 - no error: it leaves a stage after its parts
    """The share is made, and the stage goes on no further."""

    def __init__(self, num_made: int, num_parts: int) -> None:
        super().__init__(f"made {num_made} of {num_parts} parts")
        self.num_made, self.num_parts = num_made, num_parts


@dataclass(frozen=True)
class Share:
    """An executor (`wavlm.execution.parts.RunParts`) that makes the parts of one rank, and then raises ShareMade."""

    rank: int  # from 0
    of: int

    def __call__(
        self,
        parts: Sequence[P],
        work: Callable[[P], R],
        workers: int,
        progress: Progress,
        prepare: Prepare | None = None,
    ) -> NoReturn:
        own = parts[self.rank :: self.of]
        run_in_pool(own, work, workers, progress, prepare)
        raise ShareMade(len(own), len(parts))
