"""MLflow's own limits of time are far too long: ours hold before it is asked anything, unless somebody set others."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.registry import connection
from wavlm.pipeline.store import Store

WANTED = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


@pytest.mark.parametrize("open_registry", [connection.connect, connection.open_to_look])
@pytest.mark.parametrize("given", [None, "7"])
def test_limits_are_set_before_the_registry_is_looked_for(
    open_registry: Callable[[Store], object], given: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in WANTED:
        monkeypatch.delenv(name, raising=False)
    if given:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", given)
    seen: dict[str, str] = {}

    def uri(_: Store) -> str:
        seen.update(os.environ)
        raise StopIteration

    monkeypatch.setattr(connection, "registry_uri", uri)
    with pytest.raises(StopIteration):
        open_registry(Store(tmp_path))
    changed = {"MLFLOW_HTTP_REQUEST_TIMEOUT": given} if given else {}
    assert {name: seen.get(name) for name in WANTED} == WANTED | changed
    for name in WANTED:  # `monkeypatch` knows nothing of what was set meanwhile
        os.environ.pop(name, None)
