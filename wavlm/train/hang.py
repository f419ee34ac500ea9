"""The last words of a training that hangs: which rank is behind, and what it was doing with which utterances."""

from __future__ import annotations

from wavlm.engine.ranks import Ranks
from wavlm.errors import HungError
from wavlm.execution.job import TrainJob


def hung(job: TrainJob, ranks: Ranks, seconds: float) -> HungError:
    """The error that names what each rank was doing, and the utterances that it had."""
    doing = "; ".join(f"rank {rank}: {text or 'says nothing'}" for rank, text in enumerate(ranks.board.read()))
    return HungError(
        "HUNG",
        f"nothing went on for {seconds:.0f} s, seen by rank {ranks.rank} ({doing}); at {job.out}; run the same command "
        "again: it goes on from the last checkpoint; if it hangs again, look at the rank that is behind the others",
    )
