"""Run a flow on this machine: against the Prefect API that is configured, else a server of ours."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from tasks.orchestration.server import QUIET, OwnServer, answers
from wavlm.errors import ServiceMissingError

API = "PREFECT_API_URL"
ANSWER_SECONDS = 10.0


def run_flow(name: str, root: Path, is_done: Callable[[], bool], **parameters: Any) -> None:
    """Run `flows.<name>.<name>`; the store, not Prefect, says whether it is done.

    Raises what the stages raise, and ServiceMissingError if Prefect fails before all is made.
    """
    _set_environment(root / "prefect")
    server = None if os.environ.get(API) else _own_server(root / "prefect")
    run = getattr(import_module(f"flows.{name}"), name)  # imports Prefect while the server starts
    _wait(server)
    import httpx
    from prefect.exceptions import PrefectException

    try:
        run(**parameters)
    except (PrefectException, httpx.HTTPError) as error:
        if not is_done():
            raise ServiceMissingError(
                "PREFECT_LOST",
                f"Prefect failed in the middle: {error}; at {os.environ[API]}; "
                "what is complete stays: run the same command again",
            ) from error


def _set_environment(home: Path) -> None:
    """Prefect reads its settings from here when it is first imported; what is set stays."""
    defaults = {
        **QUIET,
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",  # the command line says what failed, in one place
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _own_server(home: Path) -> OwnServer:
    server = OwnServer(home)
    # Registered before Prefect is imported, so it runs after Prefect's own handlers have sent
    # their last logs and events.
    atexit.register(server.stop)
    os.environ[API] = server.url
    return server


def _wait(server: OwnServer | None) -> None:
    if server:
        server.wait()
    elif not answers(os.environ[API], ANSWER_SECONDS):
        raise ServiceMissingError(
            "PREFECT_DOWN",
            f"no Prefect API answers; at {API}={os.environ[API]}; "
            "start it, or unset the variable to use a temporary server",
        )
