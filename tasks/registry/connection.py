"""The way to MLflow: bounded in time, idempotent, and never in the way of training.

`connect` opens the registry of a store, `follow_training` feeds it while a model trains, `Uploader` makes a
run's metrics equal to those of `metrics.jsonl`. What is in the store is the truth; MLflow is a view
of it that `wavlm sync` can complete at any time.
"""

from __future__ import annotations

import contextvars
import logging
import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from pydantic import JsonValue

from tasks.registry.pages import run_page
from wavlm.errors import ServiceMissingError
from wavlm.pipeline.artifacts import Model
from wavlm.pipeline.curves import Point, points
from wavlm.pipeline.store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "wavlm"
KEY_TAG = "wavlm.key"
BATCH_METRICS = 1000  # MLflow refuses more in one call
QUEUE_RECORDS = 10_000
PUSH_EVERY_SECONDS = 2.0
CLOSE_SECONDS = 1.0  # how long `close` waits for what is still queued
LOCK_SECONDS = 60.0
MAX_REASON_CHARACTERS = 200

Status = Literal["FINISHED", "FAILED", "KILLED"]

# With its own defaults MLflow waits 247 s for a server that does not answer. A variable that is set already wins.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # its errors are raised to us: no stack traces in between
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Registry:
    """An open MLflow: `artifact_root` is None if a server decides where artifacts lie."""

    uri: str
    client: MlflowClient
    artifact_root: str | None
    lock: Path  # held where two at once would both create what both found missing


def registry_uri(store: Store) -> str:
    """MLFLOW_TRACKING_URI if it is set, else SQLite inside the store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{store.root}/registry/mlflow.db"


def connect(store: Store) -> Registry:
    """Open the registry, creating its schema if it is new.

    Raises ServiceMissingError if it does not answer within its time limits.
    """
    uri = registry_uri(store)
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    folder = store.root / "registry"
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / "create.lock"
    with translate_registry_errors(uri), FileLock(lock, timeout=LOCK_SECONDS):
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_experiments(max_results=1)
        client.search_registered_models(max_results=1)
    served = uri.startswith(("http://", "https://"))
    return Registry(uri, client, None if served else str(folder / "artifacts"), lock)


@contextmanager
def translate_registry_errors(uri: str) -> Iterator[None]:
    """Turn every way in which MLflow fails to answer into ServiceMissingError."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError, Timeout) as error:
        raise ServiceMissingError(
            "REGISTRY_DOWN",
            f"MLflow did not do what was asked: {_reason(error, uri)}; at {without_password(uri)}; "
            "once it answers, `wavlm sync RECIPE` uploads what is missing",
        ) from error


def without_password(uri: str) -> str:
    """The URI without user and password, for messages and records."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _reason(error: BaseException, uri: str) -> str:
    """The error's first line, without the user and password that MLflow repeats."""
    lines = str(error).splitlines() or [type(error).__name__]
    secret = urlsplit(uri).netloc.rpartition("@")[0]
    line = lines[0].replace(f"{secret}@", "") if secret else lines[0]
    return line if len(line) <= MAX_REASON_CHARACTERS else f"{line[:MAX_REASON_CHARACTERS]}..."


def open_run(registry: Registry, model: Model) -> str:
    """The id of the model's one run, found by its key or created, with status RUNNING."""
    client = registry.client
    with FileLock(registry.lock, timeout=LOCK_SECONDS):
        experiment = _experiment(registry)
        runs = client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{model.key}'", max_results=1)
        if not runs:
            tags = {KEY_TAG: model.key, "wavlm.iteration": str(model.iteration)}
            run = client.create_run(experiment, tags=tags, run_name=f"{model.name}-{model.key}")
            return str(run.info.run_id)
    run_id = str(runs[0].info.run_id)
    client.update_run(run_id, status="RUNNING")
    return run_id


def _experiment(registry: Registry) -> str:
    """The id of the experiment that holds the runs of all models; created if it is not there."""
    found = registry.client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        return str(registry.client.create_experiment(EXPERIMENT, registry.artifact_root))
    return str(found.experiment_id)


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
            )
            for point in batch:
                self._values[point.name][point.step] = point.value

    def _fetch_values(self, name: str) -> dict[int, float]:
        """The newest value of each step."""
        if name not in self._values:
            history = sorted(self._client.get_metric_history(self._run_id, name), key=lambda item: item.timestamp)
            self._values[name] = {metric.step: metric.value for metric in history}
        return self._values[name]


class Follower:
    """Takes metric records and pushes them from a thread of its own; `feed` never waits.

    Gives up for good at the first failure, with one warning: registration, or `wavlm sync` later,
    uploads everything from the model's metrics.jsonl anyway.
    """

    def __init__(self, model: Model, store: Store) -> None:
        self._model = model
        self._store = store
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
        except ServiceMissingError as error:
            self._give_up(str(error))

    def _push_all(self) -> None:
        registry = connect(self._store)
        with translate_registry_errors(registry.uri):
            run_id = open_run(registry, self._model)
            if page := run_page(registry.uri, run_id):
                _log.info("%s: its curve, while it trains: %s", self._model, page)
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


def follow_training(model: Model, store: Store) -> Follower:
    """Follow a training: feed it each record of metrics.jsonl, then close it with a status."""
    return Follower(model, store)
