"""Run parts on a Dask cluster (`distributed`): one that runs already, or one of this machine. See decision 0049.

What the library does by default, and what is done instead:

- It takes a worker for lost that is silent for five minutes, as one that holds the interpreter is: batches end after a
  minute, a worker has one thread, and the limit is raised.
- It waits for ever for workers: here for `NO_WORKERS_SECONDS`.
- It keeps results until they are released, and computes them again if their worker dies: each is fetched and released
  at once, and few batches are under way.
- It blames a task that was on four workers which died (KilledWorker), although another one killed them: suspects are
  done once more, one alone. Only a part that kills then has failed.
- It may do one task on two workers: parts write under unique names and rename (`wavlm.storage.files`).
- It does what it is asked, by anybody who reaches it: a cluster of this machine takes only who has its key (TLS).
"""

from __future__ import annotations

import logging
import pickle
import queue
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from wavlm.errors import ServiceMissingError, UsageError, WorkerDiedError
from wavlm.execution.attempts import Outcome
from wavlm.execution.batch import BatchDone, Likeness, PartsBatch, do_batch
from wavlm.execution.outcomes import Outcomes, shorten
from wavlm.execution.pool import Prepare, run_in_pool
from wavlm.execution.progress import Progress
from wavlm.execution.scheduler import GPU, NO_WORKERS_SECONDS, connect, down, workers_of

if TYPE_CHECKING:
    from distributed import Client, Future

P = TypeVar("P")
R = TypeVar("R")

BATCHES_PER_WORKER = 4  # under way, of which one runs
GOAL_SECONDS = 30.0  # of a batch
MOST_PARTS, MOST_BYTES = 256, 4 << 20  # of a batch
MOST_LOST = 100  # batches in a row of which nothing came back
LOOK_SECONDS = 1.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cluster:
    """An executor (`wavlm.execution.parts.RunParts`) on a cluster whose workers see the folder `root`."""

    address: str  # of a scheduler, or the path of its file; empty: a cluster of this machine, for one call
    root: Path

    def __call__(
        self,
        parts: Sequence[P],
        work: Callable[[P], R],
        workers: int,
        progress: Progress,
        prepare: Prepare | None = None,
    ) -> list[R]:
        if len(parts) <= 1 or (not self.address and workers <= 1):
            return run_in_pool(parts, work, workers, progress, prepare)
        outcomes: Outcomes[P, R] = Outcomes(parts, progress)
        needs = {GPU: 1.0} if prepare else {}
        own = min(workers, len(parts))
        with connect(self.address, own, needs) as client, _show(self.root) as likeness:
            _ClusterRun(client, likeness, parts, work, prepare, outcomes, needs).finish()
        return outcomes.results()


@contextmanager
def _show(root: Path) -> Iterator[Likeness]:
    """What a worker must be like. While the block runs there is a file in `root` that it must see."""
    token = uuid.uuid4().hex
    sight = root / "locks" / f"cluster-{token}"
    sight.parent.mkdir(parents=True, exist_ok=True)
    sight.write_text(token)
    try:
        yield Likeness.here(sight, token)
    finally:
        sight.unlink(missing_ok=True)


@dataclass
class _ClusterRun:
    """One call: parts go out in batches and come back as outcomes."""

    client: Client
    likeness: Likeness
    parts: Sequence[Any]
    work: Callable[[Any], Any]
    prepare: Prepare | None
    outcomes: Outcomes[Any, Any]
    needs: dict[str, float]
    _ended: queue.SimpleQueue[Future] = field(default_factory=queue.SimpleQueue)
    _under_way: dict[str, tuple[Future, tuple[int, ...]]] = field(default_factory=dict)
    _suspects: list[int] = field(default_factory=list)
    _part_seconds: float = GOAL_SECONDS  # the first batches are of one part
    _num_batches: int = 0
    _num_lost: int = 0  # in a row
    _last_sign: float = field(default_factory=time.monotonic)

    def finish(self) -> None:
        """Do all parts, then those whose workers died, one alone at a time."""
        waiting = deque(self.outcomes.left)
        try:
            while (waiting and not self.outcomes.is_hopeless()) or self._under_way:
                self._fill(waiting)
                self._take(waiting, self._suspects.extend)
            for number in self._suspects:
                alone = deque([number])
                while (alone and not self.outcomes.is_hopeless()) or self._under_way:
                    self._fill(alone)
                    self._take(alone, self._blame)
        finally:
            for future, _ in self._under_way.values():
                future.release()

    def _fill(self, waiting: deque[int]) -> None:
        num_workers = max(1, len(workers_of(self.client)))
        while waiting and len(self._under_way) < BATCHES_PER_WORKER * num_workers and not self.outcomes.is_hopeless():
            goal = int(GOAL_SECONDS / max(self._part_seconds, 1e-6))
            size = max(1, min(goal, MOST_PARTS, len(waiting) // (2 * num_workers)))
            self._submit(waiting, size)

    def _submit(self, waiting: deque[int], size: int) -> None:
        numbers = [waiting.popleft() for _ in range(size)]
        payload = self._pickle(numbers)
        while len(payload) > MOST_BYTES and len(numbers) > 1:
            half = len(numbers) // 2
            waiting.extendleft(reversed(numbers[half:]))
            numbers = numbers[:half]
            payload = self._pickle(numbers)
        key = f"wavlm-{self.likeness.token}-{self._num_batches}"
        self._num_batches += 1
        future = self.client.submit(
            do_batch_in_worker,
            PartsBatch(self.likeness, tuple(numbers), payload),
            key=key,
            pure=False,
            retries=0,
            resources=self.needs or None,
        )
        self._under_way[key] = future, tuple(numbers)
        future.add_done_callback(self._ended.put)

    def _pickle(self, numbers: Sequence[int]) -> bytes:
        return pickle.dumps((self.work, [self.parts[number] for number in numbers], self.prepare))

    def _take(self, waiting: deque[int], suspect: Callable[[Sequence[int]], object]) -> None:
        """Note the outcomes of the batch that ends next, if one does within a second."""
        try:
            future = self._ended.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            self._require_life()
            return
        self._last_sign = time.monotonic()
        _, numbers = self._under_way.pop(future.key)
        try:
            done = self._result(future, numbers)
        finally:
            future.release()
        if done is None:
            suspect(numbers)
            return
        for number, outcome in done.outcomes:
            self.outcomes.add(number, outcome)
        waiting.extendleft(number for number in reversed(numbers) if number not in self.outcomes)
        if done.outcomes:
            self._part_seconds = done.seconds / len(done.outcomes)
            self._num_lost = 0
        else:
            self._count_lost()

    def _count_lost(self) -> None:
        self._num_lost += 1
        if self._num_lost > MOST_LOST:
            raise down("it keeps losing what it was asked to do", self._address)

    def _result(self, future: Future, numbers: Sequence[int]) -> BatchDone | None:
        """What a batch brought; None if its workers died. Raises CLUSTER_UNLIKE and CLUSTER_DOWN."""
        from distributed import KilledWorker

        try:
            return future.result(timeout=NO_WORKERS_SECONDS)  # type: ignore[no-any-return]
        except (CancelledError, TimeoutError):  # it went with its worker: the parts are found done, or done again
            return BatchDone((), 0.0)
        except KilledWorker:
            logger.warning("workers died at a batch of %d parts, which are done again alone", len(numbers))
            return None
        except (UsageError, ServiceMissingError):
            raise
        except Exception as error:  # noqa: BLE001 - of the library, or of what does not travel
            return self._explain(error, numbers)

    def _explain(self, error: Exception, numbers: Sequence[int]) -> BatchDone | None:
        """A batch that failed as a whole: which part does not travel shows when each is alone."""
        if type(error).__name__ == "NoWorkerError":
            raise down("it has no workers", self._address) from error
        return None if len(numbers) > 1 else BatchDone(((numbers[0], Outcome(None, error)),), 0.0)

    def _blame(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            died = WorkerDiedError(
                "WORKER_DIED",
                "a worker that did nothing else was killed, ran out of memory or crashed in a decoder; "
                f"at part {shorten(self.parts[number])}; look at the memory of the workers, or leave out what it reads",
            )
            self.outcomes.add(number, Outcome(None, died))

    def _require_life(self) -> None:
        """Raise ServiceMissingError (CLUSTER_DOWN) when there has been nobody to do the work for a while."""
        if self.client.status == "running" and workers_of(self.client):
            self._last_sign = time.monotonic()
        elif self.client.status == "closed" or time.monotonic() - self._last_sign > NO_WORKERS_SECONDS:
            what = "its last worker has gone" if self.client.status == "running" else "the scheduler has gone"
            raise down(what, self._address)

    @property
    def _address(self) -> str:
        return str(self.client.scheduler.address) if self.client.scheduler else ""


def do_batch_in_worker(batch: PartsBatch) -> BatchDone:
    """`do_batch`, in a worker of Dask."""
    from distributed import get_worker

    return do_batch(batch, partial(getattr, get_worker().state, "nthreads"))
