"""Run a flow on this machine, with the Prefect API that is configured or with a temporary server."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.orchestration.home import prefect_home
from tasks.orchestration.server import QUIET, OwnServer, answers, reach_loopback
from wavlm.errors import ServiceMissingError

Flow = Callable[..., object]  # of Prefect; not imported before it is needed

API = "PREFECT_API_URL"
ANSWER_SECONDS = 10.0


def run_flow(load_flow: Callable[[], Flow], root: Path, is_done: Callable[[], bool], **parameters: Any) -> Any:
    """Run a flow with these parameters. `is_done` asks the store, which decides; Prefect only orchestrates.

    Returns what the flow returns, or None if Prefect failed after everything was made.

    `load_flow` imports the flow, and Prefect with it. That takes seconds and reads the environment, so it happens here:
    after the environment is set, and while the server starts. Raises what the stages raise, and ServiceMissingError if
    Prefect fails before everything is made.
    """
    home = prefect_home(root)
    _set_environment(home)
    server = None if os.environ.get(API) else _own_server(home)
    flow = load_flow()
    _wait(server)
    import httpx
    from prefect.exceptions import PrefectException

    from tasks.orchestration.client import bound_engine

    try:
        with bound_engine():
            return flow(**parameters)
    except (PrefectException, httpx.HTTPError) as error:
        if not is_done():
            raise ServiceMissingError(
                "PREFECT_LOST",
                f"Prefect failed in the middle: {error}; at {os.environ[API]}; "
                "what is complete stays: run the same command again",
            ) from error
        return None


def _set_environment(home: Path) -> None:
    """Prefect reads its settings from here when it is first imported; what is set stays."""
    reach_loopback()
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
