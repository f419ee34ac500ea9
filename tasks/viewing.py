"""MLflow's and Prefect's pages on what a store holds, for as long as somebody looks at them.

Each is one process of ours, on loopback and on a port that it inherits, and cannot outlive its parent. A store that
this user may not write is shown from copies of its databases. Nothing is left behind.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tasks.orchestration.home import prefect_home
from tasks.orchestration.server import QUIET, reach_loopback
from tasks.registry import database
from tasks.registry.connection import open_to_look, registry_uri
from wavlm.errors import ServiceMissingError, UsageError
from wavlm.execution.deadline import fetch
from wavlm.execution.processes import tie_to_parent
from wavlm.pipeline.registration import without_password
from wavlm.pipeline.store import Store

START_SECONDS = 300.0  # of a busy machine; MLflow imports for seconds
STOP_SECONDS = 5.0
PREFECT_API = "PREFECT_API_URL"
PREFECT_DATABASE = "prefect.db"
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Page:
    """Where pages are; `process` is None for a server that was there before."""

    name: str
    url: str
    process: subprocess.Popen[bytes] | None
    log: Path = Path(os.devnull)


@contextmanager
def open_pages(store: Store) -> Iterator[tuple[Page, ...]]:
    """Serve the pages while the block runs. Raises UsageError (NOT_FOUND) if the store has nothing to show."""
    reach_loopback()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wavlm-ui-")))
        pages = [page for page in (_open_mlflow(store, folder, stack), _open_prefect(store, folder, stack)) if page]
        if not pages:
            raise UsageError(
                "NOT_FOUND",
                f"no run and no registered model is recorded; at {store.root}; name another --store, or make "
                "something: wavlm run RECIPE",
            )
        for page in pages:
            _wait(page)
        yield tuple(pages)


def wait_for_end(pages: tuple[Page, ...]) -> None:
    """Return when one of our servers has ended by itself."""
    while all(page.process is None or page.process.poll() is None for page in pages):
        time.sleep(_POLL_SECONDS)


def _open_mlflow(store: Store, folder: Path, stack: ExitStack) -> Page | None:
    uri = registry_uri(store)
    if uri.startswith(("http://", "https://")):
        return Page("MLflow", without_password(uri), None)
    registry = open_to_look(store)
    if registry is None:
        return None
    if registry.file and not database.is_writable(registry.file):
        copy = Path(shutil.copyfile(registry.file, folder / registry.file.name))
        database.relocate(registry.file, copy)
        uri = database.address_of(copy)
    from mlflow.server import constants

    environment = {
        constants.BACKEND_STORE_URI_ENV_VAR: uri,
        constants.ARTIFACT_ROOT_ENV_VAR: registry.artifact_root or "",
        constants.SERVE_ARTIFACTS_ENV_VAR: "",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    return _start("MLflow", folder, lambda _: environment, stack)


def _open_prefect(store: Store, folder: Path, stack: ExitStack) -> Page | None:
    if configured := os.environ.get(PREFECT_API):
        return Page("Prefect", without_password(configured).removesuffix("/").removesuffix("/api"), None)
    home = prefect_home(store.root)
    found = next((path for path in (home, home.parent) if (path / PREFECT_DATABASE).is_file()), None)
    if found is None:
        return None
    if not (os.access(found, os.W_OK) and os.access(found / PREFECT_DATABASE, os.W_OK)):
        found = _copy_prefect(found, folder / "prefect")

    def environment(url: str) -> dict[str, str]:
        return {
            "PREFECT_HOME": str(found),
            PREFECT_API: "",
            "PREFECT_UI_ENABLED": "true",
            "PREFECT_UI_API_URL": f"{url}/api",
            "PREFECT_UI_STATIC_DIRECTORY": str(folder / "prefect-pages"),
            "PREFECT__SERVER_WEBSERVER_ONLY": "1",  # it shows runs, and starts none
            "PREFECT__SERVER_FINAL": "1",
        }

    return _start("Prefect", folder, environment, stack)


def _copy_prefect(home: Path, copy: Path) -> Path:
    """The database with its journals, in a folder of this process."""
    copy.mkdir()
    for path in home.glob(f"{PREFECT_DATABASE}*"):
        shutil.copyfile(path, copy / path.name)
    return copy


def _start(name: str, folder: Path, environment: Callable[[str], Mapping[str, str]], stack: ExitStack) -> Page:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        said = folder / f"{name}.log"
        with said.open("wb") as log:
            # -P: a tasks.py in the folder where the command is run is not ours.
            process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [sys.executable, "-P", "-m", "tasks.viewing", name, str(listening.fileno()), str(os.getpid())],
                pass_fds=[listening.fileno()],
                env={**os.environ, **QUIET, **environment(url)},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C ends the parent, which ends its servers in order
            )
    stack.callback(_stop, process)
    return Page(name, url, process, said)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(page: Page) -> None:
    """Return when the server answers, or is somebody else's."""
    ends = time.monotonic() + START_SECONDS
    while page.process is not None:
        if _answers(page.url):
            return
        if page.process.poll() is not None or time.monotonic() > ends:
            said = page.log.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing"]
            raise ServiceMissingError(
                "UI_DOWN",
                f"the pages of {page.name} did not start, the last that they said is: {said[0]}; at {page.url}; "
                "run the same command again",
            )
        time.sleep(_POLL_SECONDS)


def _answers(url: str) -> bool:
    try:
        with httpx.Client(timeout=STOP_SECONDS, follow_redirects=True) as client:
            return bool(fetch(client, url, STOP_SECONDS).is_success)
    except (httpx.HTTPError, OSError):
        return False


def _serve(name: str, descriptor: int, parent: int) -> None:
    """Run in the child: serve the pages of one of the two on an inherited listening socket."""
    tie_to_parent(signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call above
        return
    import uvicorn

    if name == "MLflow":
        app = importlib.import_module("mlflow.server.fastapi_app").app
    else:
        app = importlib.import_module("prefect.server.api.server").create_app()
    uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on")).run(
        sockets=[socket.socket(fileno=descriptor)]
    )


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
