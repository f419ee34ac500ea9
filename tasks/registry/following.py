"""Follow a training in MLflow: every metric arrives once, and training never waits.

`follow_training` feeds a run while a model trains, `Uploader` makes a run's metrics equal to those of `metrics.jsonl`.
"""

from __future__ import annotations

import contextvars
import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import JsonValue

from tasks.registry.connection import Registry, connect, translate_registry_errors
from tasks.registry.pages import run_page
from tasks.registry.runs import Tracked, open_run, open_system_run
from wavlm.errors import CodedError, ServiceMissingError, StoppedError
from wavlm.pipeline.artifacts import Finetune
from wavlm.pipeline.curves import Point, points
from wavlm.pipeline.store import Store
from wavlm.pipeline.systems import tags_of_system

if TYPE_CHECKING:
    from mlflow import MlflowClient

BATCH_METRICS = 1000  # MLflow refuses more in one call
QUEUE_RECORDS = 10_000
PUSH_EVERY_SECONDS = 2.0
LOOKS = 3  # a registry may read from a copy that is behind
BETWEEN_LOOKS_SECONDS = 1.0
CLOSE_SECONDS = 1.0  # how long `close` waits for what is still queued

Status = Literal["FINISHED", "FAILED", "KILLED"]

_log = logging.getLogger(__name__)


class Uploader:
    """Makes the metrics of one run those that are pushed; the same value of a step is uploaded once."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self._run_id = run_id
        self._values: dict[str, dict[int, float]] = {}

    def push(self, new: Sequence[Point]) -> None:
        """Log the points that the run does not have yet, or has with the value of a training that was done again."""
        from mlflow.entities import Metric

        missing = [point for point in new if self._fetch_values(point.name).get(point.step) != point.value]
        for start in range(0, len(missing), BATCH_METRICS):
            batch = missing[start : start + BATCH_METRICS]
            self._client.log_batch(
                self._run_id,
                metrics=[Metric(point.name, point.value, point.unix_ms, point.step) for point in batch],
                synchronous=True,  # whatever the environment asks for: what comes next looks for them
            )
            for point in batch:
                self._values[point.name][point.step] = point.value

    def push_and_look(self, new: Sequence[Point]) -> None:
        """Push points, then look whether the run has them. Raises ServiceMissingError (REGISTRY_DOWN) if not."""
        self.push(new)
        lost: list[Point] = []
        for look in range(LOOKS):
            time.sleep(BETWEEN_LOOKS_SECONDS if look else 0)
            logged = {name: self._fetch_all(name) for name in {point.name for point in new}}
            if not (
                lost := [point for point in new if not _holds(logged[point.name].get(point.step, ()), point.value)]
            ):
                return
        raise ServiceMissingError(
            "REGISTRY_DOWN",
            f"MLflow took {len(lost)} of {len(new)} figures and does not have them, as {lost[0].name} of update "
            f"{lost[0].step}; at run {self._run_id}; see to its disk and database, then: wavlm sync RECIPE",
        )

    def _fetch_all(self, name: str) -> dict[int, list[float]]:
        """All values of each step: those of a training that was done again stand beside its own."""
        found: dict[int, list[float]] = {}
        for metric in self._client.get_metric_history(self._run_id, name):
            found.setdefault(metric.step, []).append(metric.value)
        return found

    def _fetch_values(self, name: str) -> dict[int, float]:
        """The newest value of each step."""
        if name not in self._values:
            history = sorted(self._client.get_metric_history(self._run_id, name), key=lambda item: item.timestamp)
            self._values[name] = {metric.step: metric.value for metric in history}
        return self._values[name]


def _holds(logged: Sequence[float], value: float) -> bool:
    """Whether a value is among those of a step. Databases write infinity and NaN in their own ways."""
    if not math.isfinite(value):
        return bool(logged)
    return any(math.isclose(one, value, rel_tol=1e-6) for one in logged)


class Follower:
    """Takes metric records and pushes them from a thread of its own; `feed` never waits.

    Gives up for good at the first failure, with one warning: registration, or `wavlm sync` later,
    uploads everything from the model's metrics.jsonl anyway.
    """

    def __init__(self, open_its_run: Callable[[Registry], str], what: str, store: Store) -> None:
        self._open_its_run, self._what, self._store = open_its_run, what, store
        self._records: queue.Queue[Mapping[str, JsonValue] | Status] = queue.Queue(QUEUE_RECORDS)
        self._gone = threading.Event()
        # In a copy of this context, so that a warning belongs to the run that is under way.
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._work,), daemon=True)
        self._thread.start()

    def feed(self, record: Mapping[str, JsonValue]) -> None:
        """Hand over one record of metrics.jsonl; it is dropped if the registry does not answer or is far behind."""
        if self._gone.is_set():
            return
        try:
            self._records.put_nowait(record)
        except queue.Full:
            self._give_up("it takes metrics more slowly than training makes them")

    def close(self, status: Status) -> None:
        """Push what is queued and close the run with this status; waits for a second at most."""
        try:
            self._records.put_nowait(status)
        except queue.Full:
            return
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive() and not self._gone.is_set():
            self._give_up("it is still busy")

    def _work(self) -> None:
        try:
            self._push_all()
        except CodedError as error:
            self._give_up(str(error))

    def _push_all(self) -> None:
        registry = connect(self._store)
        with translate_registry_errors(registry.uri):
            run_id = self._open_its_run(registry)
            if page := run_page(registry.uri, run_id):
                _log.info("%s: its curve, while it trains: %s", self._what, page)
            uploader = Uploader(registry.client, run_id)
            status: Status | None = None
            while status is None:
                waiting: list[Point] = []
                status = self._take(waiting)
                uploader.push(waiting)
            registry.client.set_terminated(run_id, status)

    def _take(self, into: list[Point]) -> Status | None:
        """Collect points for a while; returns the final status once it is reached."""
        until = time.monotonic() + PUSH_EVERY_SECONDS
        while (left := until - time.monotonic()) > 0 and len(into) < BATCH_METRICS:
            try:
                item = self._records.get(timeout=left)
            except queue.Empty:
                return None
            if isinstance(item, str):
                return item
            into += points(item)
        return None

    def _give_up(self, reason: str) -> None:
        if self._gone.is_set():
            return
        self._gone.set()
        _log.warning(
            "MLflow is left behind, training goes on: %s. Nothing is lost: metrics are in the "
            "store, and `wavlm sync RECIPE` uploads them",
            reason,
        )


def follow_training(tracked: Tracked, store: Store) -> Follower:
    """Follow a training: feed it each record of metrics.jsonl, then close it with a status."""
    return Follower(partial(open_run, tracked=tracked), str(tracked.model), store)


def follow_system(system: Finetune, store: Store, experiment: str) -> Follower:
    """Follow a fine-tuning in the run that its system is registered with later."""

    def open_its_run(registry: Registry) -> str:
        return open_system_run(registry, system.spec.registry_name, tags_of_system(system), experiment)

    return Follower(open_its_run, str(system), store)


@contextmanager
def feeding(follower: Follower) -> Iterator[Callable[[Mapping[str, JsonValue]], None]]:
    """What takes the records of a training; the run is closed as the training ends."""
    status: Status = "KILLED"
    try:
        yield follower.feed
        status = "FINISHED"
    except StoppedError:
        raise
    except Exception:
        status = "FAILED"
        raise
    finally:
        follower.close(status)
