"""Make artifacts side by side: what does not depend on each other, within limits by tag.

While one corpus is downloaded another one is packed, and the first iteration trains while later corpora are prepared.
Each stage stays one task of Prefect, in a thread. What another run is making is left to it for as long as there is
something else to do. After a failure all that does not need the failed artifact is still made.
"""

from __future__ import annotations

import contextvars
import ctypes
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field

from flows.elsewhere import needs_gpu
from tasks.orchestration.limits import DOWNLOAD, GPU
from tasks.orchestration.waiting import wait_out
from wavlm.errors import LockedError
from wavlm.execution.processes import num_cores
from wavlm.execution.runtime import Runtime
from wavlm.execution.worker import Worker, Workers, worker_of_stage
from wavlm.pipeline.artifacts import (
    Artifact,
    Corpus,
    Evaluation,
    Export,
    Model,
    Registration,
    Scores,
    SystemRegistration,
    build_order,
)

CORES, LIGHT, EVALUATION = "cores", "light", "evaluation"
OF_CLUSTER = 4  # stages that share the workers of a cluster
MOST_EVALUATIONS = 4  # at a time, on the cores of one machine: each has its features in memory
# What takes all cores or a GPU, and what shares them among itself, are not made at the same time.
APART = {GPU: EVALUATION, EVALUATION: GPU}
LOOK_SECONDS = 1.0
REST_SECONDS = 5.0  # of an artifact that another run held when it was its turn
# After a stop: a trainer saves a checkpoint first; what others have begun is found again however they end.
TRAINER_SECONDS, OTHERS_SECONDS = 600.0, 30.0

Make = Callable[[Artifact, Runtime], None]
FindMaker = Callable[[Artifact], str | None]

logger = logging.getLogger(__name__)


class Stopping(BaseException):
    """Raised in the threads of stages when the run is stopped, so that they stop what they have started."""


def make_side_by_side(
    chosen: Sequence[Artifact],
    make_one: Make,
    runtime: Runtime,
    find_maker: FindMaker = lambda _: None,
    spare: Set[str] = frozenset(),
    *,
    is_here: bool = True,
) -> None:
    """Make artifacts, each after those of `chosen` that it needs; first what the first iteration needs.

    `find_maker`: who makes an artifact at this moment, in another process. `spare`: keys of what is tried before a
    version is registered, and is not needed for that. `is_here`: whether this machine makes what needs a GPU, too; if
    not, one run elsewhere makes all evaluations. Raises the error of the first artifact that failed; notes name the
    others.
    """
    order, limits = _order(chosen), limits_of(runtime, is_here=is_here)
    _SideBySide(order, make_one, runtime, find_maker, limits, _find_before(chosen), spare).finish()


def limits_of(runtime: Runtime, *, is_here: bool = True) -> dict[str, int]:
    """How many artifacts of a tag are made at a time by one run."""
    of_cores = runtime.side_by_side or (OF_CLUSTER if runtime.cluster else 1)
    evaluations = _num_evaluations(runtime) if is_here else 1
    return {DOWNLOAD: runtime.downloads, CORES: of_cores, GPU: 1, LIGHT: OF_CLUSTER, EVALUATION: evaluations}


def _num_evaluations(runtime: Runtime) -> int:
    """Evaluations at a time: one on each GPU, or on the cores; one if a cluster computes features for all cores."""
    if runtime.cluster:
        return 1
    return runtime.gpus or runtime.side_by_side or min(MOST_EVALUATIONS, num_cores())


def tag_of(artifact: Artifact) -> str:
    """What an artifact takes most of while it is made."""
    if isinstance(artifact, Corpus):
        return DOWNLOAD if any(source.type != "folder" for source in artifact.spec.sources) else CORES
    if isinstance(artifact, Export | Registration | SystemRegistration):
        return LIGHT
    if isinstance(artifact, Evaluation):
        return EVALUATION
    return GPU if needs_gpu(artifact) else CORES


def _order(chosen: Sequence[Artifact]) -> list[Artifact]:
    """By the iteration that needs them first: its noise is not downloaded behind the speech of later ones.

    What is made of its model comes before the next iteration, too: a version does not wait for another training.
    """
    keys = {item.key for item in chosen}
    trained = [item for item in chosen if isinstance(item, Model | Scores | Evaluation | Export | Registration)]
    return [item for item in build_order([*trained, *chosen]) if item.key in keys]


def _find_before(chosen: Sequence[Artifact]) -> dict[str, set[str]]:
    """Keys of what has to be tried before each artifact: what it needs, and for a registration all that judges it.

    The gate compares with the scores of the recipe, and each version with the one before.
    """
    keys = {item.key for item in chosen}
    before = {item.key: {needed.key for needed in build_order([item])} & keys - {item.key} for item in chosen}
    for number, item in enumerate(chosen):
        if isinstance(item, Registration):
            before[item.key] |= {
                one.key for one in chosen[:number] if isinstance(one, Scores | Evaluation | Export | Registration)
            }
    return before


@dataclass
class _SideBySide:
    chosen: Sequence[Artifact]
    make_one: Make
    runtime: Runtime
    find_maker: FindMaker
    limits: Mapping[str, int]
    before: Mapping[str, set[str]]
    spare: Set[str]
    _waiting: list[Artifact] = field(default_factory=list)
    _done: set[str] = field(default_factory=set)
    _lost: set[str] = field(default_factory=set)  # never to be made in this run
    _failed: dict[str, Exception] = field(default_factory=dict)
    _under_way: dict[str, tuple[Artifact, threading.Thread]] = field(default_factory=dict)
    _ended: queue.SimpleQueue[tuple[Artifact, Exception | None]] = field(default_factory=queue.SimpleQueue)
    _rests_until: dict[str, float] = field(default_factory=dict)  # what another run held when it was tried, by key
    _workers: Workers = field(default_factory=Workers)
    _worker_of: dict[str, Worker] = field(default_factory=dict)  # of evaluations under way, by key

    def finish(self) -> None:
        """Make all that can be made."""
        self._waiting = list(self.chosen)
        try:
            while self._give_up_lost() or self._under_way:
                self._begin()
                self._take()
        except BaseException:
            self._stop()
            raise
        finally:
            self._workers.end()
        if self._failed:
            raise self._explain()

    def _give_up_lost(self) -> list[Artifact]:
        """What is still to be made, without what needs something that failed, or that is given up itself."""
        for item in list(self._waiting):  # in the order in which they need each other
            if self.before[item.key] & self._given_up - self.spare:
                logger.info("%s is not made: what it needs failed", item)
                self._lost.add(item.key)
                self._waiting.remove(item)
        return self._waiting

    @property
    def _given_up(self) -> set[str]:
        return self._failed.keys() | self._lost

    def _begin(self) -> None:
        """Begin what can be made now; in this thread, if there is nothing beside it."""
        tried = self._done | self._given_up & self.spare
        ready = [item for item in self._waiting if self.before[item.key] <= tried]
        free = [item for item in ready if self._joins(item) or not self.find_maker(item)]
        awake = [item for item in free if self._rests_until.get(item.key, 0.0) <= time.monotonic()]
        if ready and not free and not self._under_way:
            wait_out(lambda: self._refuse_made(ready), self.runtime)
            return
        chosen = self._choose(awake) or free[: not self._under_way]
        if len(chosen) == 1 and not self._under_way and len(awake) in (0, len(ready)):
            self._waiting.remove(chosen[0])
            self._ended.put((chosen[0], self._try(chosen[0], self.runtime)))
            return
        for item in chosen:
            self._start(item)

    def _choose(self, awake: Sequence[Artifact]) -> list[Artifact]:
        """The first of these that the limits allow beside what is under way."""
        taken = Counter(tag_of(item) for item, _ in self._under_way.values())
        chosen = []
        for item in awake:
            tag = tag_of(item)
            if taken[tag] < self.limits[tag] and not taken[APART.get(tag, "")]:
                taken[tag] += 1
                chosen.append(item)
        return chosen

    def _joins(self, item: Artifact) -> bool:
        """Whether this run helps another one that makes an artifact: as one of several machines that train a model."""
        return isinstance(item, Model) and self.runtime.nodes > 1

    def _refuse_made(self, ready: Sequence[Artifact]) -> None:
        """Raise LockedError while other runs make all that this one could."""
        makers = [self.find_maker(item) for item in ready]
        if all(makers):
            raise LockedError(
                "LOCKED", f"{ready[0]} is being made by {makers[0]}; in the store; wait for it or stop it"
            )

    def _start(self, item: Artifact) -> None:
        """Make an artifact in a thread, which sees the flow run as this one does.

        It does not wait there for another run that has begun it in the same moment: others need its place.
        """
        changes = {} if self._joins(item) else {"wait_minutes": 0}
        context = contextvars.copy_context()
        if isinstance(item, Evaluation) and self.limits[EVALUATION] > 1:
            worker = self._worker_of[item.key] = self._workers.take()
            context.run(worker_of_stage.set, worker)
            changes |= self._share_of_evaluation()
        runtime = self.runtime.model_copy(update=changes)

        def run() -> None:
            error: Exception | None = None
            with suppress(Stopping):
                error = context.run(self._try, item, runtime)
            self._ended.put((item, error))

        thread = threading.Thread(target=run, name=str(item), daemon=True)
        self._waiting.remove(item)
        self._under_way[item.key] = item, thread
        thread.start()

    def _share_of_evaluation(self) -> dict[str, int]:
        """What one of several evaluations has of the machine."""
        workers = max(1, self.runtime.workers // self.limits[EVALUATION])
        return {"workers": workers, "gpus": min(1, self.runtime.gpus)}

    def _try(self, item: Artifact, runtime: Runtime) -> Exception | None:
        try:
            self.make_one(item, runtime)
        except Exception as error:  # noqa: BLE001 - it is raised when all that does not need it is made
            return error
        return None

    def _take(self) -> None:
        """Take what has ended, if anything does within a second."""
        try:
            item, error = self._ended.get(timeout=LOOK_SECONDS if self._under_way else 0.0)
        except queue.Empty:
            return
        was_alone = self._under_way.pop(item.key, None) is None
        if worker := self._worker_of.pop(item.key, None):
            self._workers.give_back(worker)
        if error is None:
            self._done.add(item.key)
        elif _is_locked(error) and self.runtime.wait_minutes and not was_alone:
            logger.info("others come first: %s", error)
            self._rests_until[item.key] = time.monotonic() + REST_SECONDS
            self._waiting = [one for one in self.chosen if one in (*self._waiting, item)]
        else:
            self._failed[item.key] = error
            if self._waiting or self._under_way:
                logger.error("%s failed; what does not need it is made first: %s", item, error)

    def _stop(self) -> None:
        """Stop the stages under way as an interrupt of this thread would; none of them is waited for without end."""
        for _, thread in self._under_way.values():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Stopping))
        begun = time.monotonic()
        for item, thread in self._under_way.values():
            end = begun + (TRAINER_SECONDS if isinstance(item, Model) else OTHERS_SECONDS)
            while thread.is_alive() and time.monotonic() < end:
                thread.join(LOOK_SECONDS)

    def _explain(self) -> Exception:
        """The error of the first that failed, with notes about the others."""
        failed = [item for item in self.chosen if item.key in self._failed]
        error = self._failed[failed[0].key]
        for item in failed[1:]:
            error.add_note(f"failed, too: {item}: {self._failed[item.key]}")
        return error


def _is_locked(error: Exception) -> bool:
    return isinstance(error, LockedError) and error.code == "LOCKED"
