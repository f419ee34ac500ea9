"""What the registry says of versions right now, for summaries: an alias may have moved since they were registered.

Read without MLflow's client, whose import takes seconds: from the database, or by two requests to a server.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from tasks.registry.connection import registry_uri
from tasks.registry.database import database_of
from wavlm.execution.deadline import fetch
from wavlm.pipeline.registration import Current
from wavlm.pipeline.store import Store
from wavlm.pipeline.summary import Found

ANSWER_SECONDS = 3.0
MAX_VERSIONS = 10_000
VERDICT_TAG = "wavlm.gate"
_QUESTIONS = (
    "SELECT version FROM model_versions WHERE name = :name AND current_stage != 'Deleted_Internal'",
    "SELECT version, alias FROM registered_model_aliases WHERE name = :name",
    f"SELECT version, value FROM model_version_tags WHERE name = :name AND key = '{VERDICT_TAG}'",  # noqa: S608
)


def read_current(store: Store, names: Iterable[str]) -> Found | None:
    """Aliases and verdict of all versions of these models, by name and number; None if the registry does not answer."""
    uri = registry_uri(store)
    found: dict[tuple[str, int], Current] = {}
    try:
        for name in names:
            if database := database_of(uri):
                found.update(_read_rows(database, name) if database.exists() else {})
            elif uri.startswith(("http://", "https://")):
                found.update(_ask(uri, name))
            else:
                return None  # of another database only MLflow's client knows how to ask
    except (sqlite3.Error, OSError, ValueError, KeyError, TypeError):  # summaries show what was recorded
        return None
    return found


def _read_rows(database: Path, name: str) -> Found:
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", ANSWER_SECONDS, uri=True)) as opened:
        versions, aliases, verdicts = (opened.execute(question, {"name": name}).fetchall() for question in _QUESTIONS)
    return {
        (name, number): Current(
            aliases=tuple(sorted(alias for to, alias in aliases if to == number)),
            champion=dict(verdicts).get(number, ""),
        )
        for (number,) in versions
    }


def _ask(uri: str, name: str) -> Found:
    """The same from a server, by MLflow's REST interface. Raises OSError or ValueError if it does not answer so."""
    import httpx

    with httpx.Client(base_url=f"{uri}/api/2.0/mlflow", timeout=ANSWER_SECONDS, auth=_auth()) as client:
        try:
            model = fetch(client, "/registered-models/get", ANSWER_SECONDS, params={"name": name})
            if model.status_code == httpx.codes.NOT_FOUND:
                return {}
            asked = {"filter": f"name='{name}'", "max_results": MAX_VERSIONS}
            found = fetch(client, "/model-versions/search", ANSWER_SECONDS, params=asked)
            aliases = model.raise_for_status().json()["registered_model"].get("aliases", [])
            versions = found.raise_for_status().json().get("model_versions", [])
        except httpx.HTTPError as error:
            raise OSError(str(error)) from error
    return {
        (name, int(item["version"])): Current(
            aliases=tuple(sorted(to["alias"] for to in aliases if to["version"] == item["version"])),
            champion=next((tag["value"] for tag in item.get("tags", []) if tag["key"] == VERDICT_TAG), ""),
        )
        for item in versions
    }


def _auth() -> tuple[str, str] | None:
    """User and password of MLflow's own variables. Those in the address are taken from there."""
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    return (user, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")) if user else None
