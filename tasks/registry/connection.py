"""The way to MLflow, bounded in time: `connect` opens the registry of a store to write, `open_to_look` to read from it.

What is in the store is the truth; MLflow is a view of it that `wavlm sync` can complete at any time.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.registry import database
from tasks.registry.bounds import bound_exchanges
from tasks.registry.cause import cause_of
from tasks.registry.server_version import require_known_server
from wavlm.errors import CodedError, ServiceMissingError
from wavlm.pipeline.registration import OWN_REGISTRY, REGISTRY_FOLDER, TRACKING_URI, without_password
from wavlm.pipeline.store import Store
from wavlm.storage.locks import wait_for_lock
from wavlm.storage.sharing import share_file

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCK_SECONDS = 60.0
SERVED = ("http://", "https://")

# Two threads that import SQLAlchemy from two ends, such as a registration beside a training that is followed, find it
# half initialised (`cannot import name 'Column' from partially initialized module`).
_IMPORTED_BY_ONE = ("mlflow", "alembic.script", "sqlalchemy.exc")
_importing = threading.Lock()

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


@dataclass(frozen=True)
class Registry:
    """An open MLflow: `file` is its database if it is one, `artifact_root` None if a server decides on it."""

    uri: str
    client: MlflowClient
    artifact_root: str | None
    lock: Path  # held where two at once would both create what both found missing
    file: Path | None = None

    @property
    def place(self) -> str:
        """Its address for messages."""
        return without_password(self.uri)


def registry_uri(store: Store) -> str:
    """MLFLOW_TRACKING_URI if it is set, else SQLite inside the store."""
    configured = os.environ.get(TRACKING_URI, "").strip().rstrip("/")
    return configured or database.address_of(store.root / OWN_REGISTRY)


def connect(store: Store) -> Registry:
    """Open the registry to write into it; its schema is made if it is new, and the places of its files are put right.

    Raises ServiceMissingError if it does not answer within its time limits, and LockedError (REGISTRY_READONLY).
    """
    _set_environment()
    uri = registry_uri(store)
    file = database.database_of(uri)
    if file:
        database.require_writable(file)
        file.parent.mkdir(parents=True, exist_ok=True)
    lock = (file.parent if file else store.root / REGISTRY_FOLDER) / "create.lock"
    is_served = uri.startswith(SERVED)
    with translate_registry_errors(uri), nullcontext() if is_served else hold_registry(lock):
        if file and file.exists():
            database.require_schema(file, may_change=True)
        client = _open_client(uri)
        if file:
            share_file(file)
            database.relocate(file)
    return _registry(uri, client, file, lock)


def hold_registry(lock: Path) -> AbstractContextManager[object]:
    """Hold the lock of a registry, which two take in turn who would both create what both found missing."""
    return wait_for_lock(lock, "the registry", LOCK_SECONDS, lambda *_: None)


def open_to_look(store: Store) -> Registry | None:
    """Open the registry to read from it; None if the store has none yet. Who may not write needs no permission to."""
    _set_environment()
    uri = registry_uri(store)
    file = database.database_of(uri)
    if file and not file.is_file():
        return None
    if file and database.is_writable(file):
        return connect(store)
    with translate_registry_errors(uri):
        if file:
            database.require_schema(file, may_change=False)
        return _registry(uri, _open_client(uri), file, store.root / REGISTRY_FOLDER / "create.lock")


def _set_environment() -> None:
    """MLflow reads its settings from here, some of them when it is first imported."""
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    bound_exchanges()
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # of a retry; what fails in the end is raised


def _import_client() -> None:
    """Import MLflow and what it stands on, by one thread at a time."""
    with _importing:
        for name in _IMPORTED_BY_ONE:
            import_module(name)


def _open_client(uri: str) -> MlflowClient:
    """A client that was seen to get answers."""
    from mlflow import MlflowClient

    require_known_server(uri)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.search_experiments(max_results=1)
    client.search_registered_models(max_results=1)
    return client


def _registry(uri: str, client: MlflowClient, file: Path | None, lock: Path) -> Registry:
    if uri.startswith(SERVED):
        return Registry(uri, client, None, lock)
    root = database.artifact_root(file or lock)
    return Registry(uri, client, database.location(root), lock, file)


@contextmanager
def translate_registry_errors(uri: str) -> Iterator[None]:
    """Turn every way in which MLflow fails to answer into ServiceMissingError."""
    _import_client()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except CodedError:
        raise
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise ServiceMissingError(
            "REGISTRY_DOWN",
            f"MLflow did not do what was asked: {cause_of(error, uri)}; at {without_password(uri)}; "
            "once it answers, `wavlm sync RECIPE` uploads what is missing",
        ) from error
