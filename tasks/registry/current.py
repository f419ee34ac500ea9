"""What the registry says of versions right now: an alias may have moved, and a registry may be another one.

Read without MLflow's client, whose import takes seconds: from the database, or by two requests to a server.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tasks.registry.connection import registry_uri
from tasks.registry.database import database_of
from wavlm.execution.deadline import fetch
from wavlm.pipeline.registration import Current, RegistrationFacts
from wavlm.pipeline.store import Store
from wavlm.pipeline.summary import Found

ANSWER_SECONDS = 3.0
MAX_VERSIONS = 10_000
VERDICT_TAG, KEY_TAG = "wavlm.gate", "wavlm.key"
NOT_FOUND = 404
UNKNOWN = "RESOURCE_DOES_NOT_EXIST"  # MLflow's answer; another 404 comes from somebody who is no MLflow
_QUESTIONS = (
    "SELECT version FROM model_versions WHERE name = :name AND current_stage != 'Deleted_Internal'",
    "SELECT version, alias FROM registered_model_aliases WHERE name = :name",
    "SELECT version, key, value FROM model_version_tags WHERE name = :name",
)
_RUN = "SELECT count(*) FROM runs WHERE run_uuid = :run"


def read_current(store: Store, names: Iterable[str]) -> Found | None:
    """Aliases and verdict of all versions of these models, by name and number; None if the registry does not answer."""
    uri = registry_uri(store)
    found: dict[tuple[str, int], Current] = {}
    try:
        for name in names:
            if database := database_of(uri):
                found.update(_read_rows(database, name) if database.exists() else {})
            elif _is_served(uri):
                found.update(_ask(uri, name))
            else:
                return None  # of another database only MLflow's client knows how to ask
    except (sqlite3.Error, OSError, ValueError, KeyError, TypeError):  # summaries show what was recorded
        return None
    return found


def knows_run(store: Store, facts: RegistrationFacts) -> bool | None:
    """Whether the registry has the run of a version, also a deleted one; None if it does not answer."""
    uri = registry_uri(store)
    try:
        if database := database_of(uri):
            return database.exists() and _has_run(database, facts.run_id)
        if not _is_served(uri):
            return None
        with _open(uri) as client:
            return _get(client, "/runs/get", run_id=facts.run_id) is not None
    except (sqlite3.Error, OSError, ValueError):
        return None


def _is_served(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def _has_run(database: Path, run_id: str) -> bool:
    with closing(_connect(database)) as opened:
        return bool(opened.execute(_RUN, {"run": run_id}).fetchone()[0])


def _connect(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{database.as_uri()}?mode=ro", ANSWER_SECONDS, uri=True)


def _read_rows(database: Path, name: str) -> Found:
    with closing(_connect(database)) as opened:
        versions, aliases, tags = (opened.execute(question, {"name": name}).fetchall() for question in _QUESTIONS)
    told = {(number, key): value for number, key, value in tags}
    return {
        (name, number): Current(
            aliases=tuple(sorted(alias for to, alias in aliases if to == number)),
            champion=told.get((number, VERDICT_TAG), ""),
            key=told.get((number, KEY_TAG), ""),
        )
        for (number,) in versions
    }


def _ask(uri: str, name: str) -> Found:
    """The same from a server, by MLflow's REST interface. Raises OSError or ValueError if it does not answer so."""
    with _open(uri) as client:
        model = _get(client, "/registered-models/get", name=name)
        if model is None:
            return {}
        found = _get(client, "/model-versions/search", filter=f"name='{name}'", max_results=MAX_VERSIONS)
    aliases, versions = model["registered_model"].get("aliases", []), (found or {}).get("model_versions", [])
    return {(name, int(item["version"])): _current(item, aliases) for item in versions}


def _current(item: Any, aliases: Any) -> Current:
    tags = {tag["key"]: tag["value"] for tag in item.get("tags", [])}
    return Current(
        aliases=tuple(sorted(to["alias"] for to in aliases if to["version"] == item["version"])),
        champion=tags.get(VERDICT_TAG, ""),
        key=tags.get(KEY_TAG, ""),
    )


@contextmanager
def _open(uri: str) -> Iterator[Any]:
    """A client of a server's REST interface. Its errors become OSError."""
    import httpx

    try:
        with httpx.Client(base_url=f"{uri}/api/2.0/mlflow", timeout=ANSWER_SECONDS, auth=_auth()) as client:
            yield client
    except httpx.HTTPError as error:
        raise OSError(str(error)) from error


def _get(client: Any, path: str, **asked: str | int) -> Any:
    """What a server answers; None if it knows no such thing. Raises httpx.HTTPError for every other refusal."""
    answer = fetch(client, path, ANSWER_SECONDS, params=asked)
    if answer.status_code == NOT_FOUND and answer.json().get("error_code") == UNKNOWN:
        return None
    return answer.raise_for_status().json()


def _auth() -> tuple[str, str] | None:
    """User and password of MLflow's own variables. Those in the address are taken from there."""
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    return (user, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")) if user else None
