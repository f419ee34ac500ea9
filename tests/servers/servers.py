"""Real servers for tests, on loopback and free ports: Prefect, MLflow, workers, and a receiver of webhooks."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from tests.waiting import LIMIT_SECONDS, wait_until

ROOT = Path(__file__).parents[2]
TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Process:
    """A process in a session of its own, with its output in a file."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def kill(self) -> None:
        """End it and all of its session, as when a machine loses its power."""
        for pid in _session(self.pid):
            _signal(pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """Ask it to end; kill what is left."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        self.kill()


def _session(leader: int) -> list[int]:
    """Processes of a session, and their descendants, which may have sessions of their own."""
    parents, sessions = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(path.parent.name)
        parents[pid], sessions[pid] = int(fields[1]), int(fields[3])
    found = {pid for pid, session in sessions.items() if session == leader}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


class PrefectServer:
    """A Prefect server that can be killed and started again at the same address."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.folder = folder
        self.environment = {
            **environment,
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": self.url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
        }
        self.client = httpx.Client(timeout=LIMIT_SECONDS)
        self.start()

    def start(self) -> None:
        arguments = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        self.process = Process(arguments, self.environment, self.folder / "server.log")
        wait_until(self.answers, f"Prefect's server, {self.process.log}")

    def answers(self) -> bool:
        try:
            return self.client.get(f"{self.url}/health").is_success
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        self.process.kill()

    def close(self) -> None:
        self.client.close()
        self.kill()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer to a request. A server whose database is busy is asked again, as Prefect's own client does it."""
        answers: list[httpx.Response] = []

        def is_answered() -> bool:
            answers.append(self.client.request(method, f"{self.url}/{path}", json=body))
            return answers[-1].status_code != httpx.codes.SERVICE_UNAVAILABLE

        wait_until(is_answered, f"an answer to {method} {path}")
        assert answers[-1].is_success, answers[-1].text
        return answers[-1].json() if answers[-1].content else None

    def get(self, path: str) -> Any:
        return self.ask("GET", path)

    def post(self, path: str, **body: Any) -> Any:
        return self.ask("POST", path, body)

    def deployment(self, full_name: str) -> Any:
        return self.get(f"deployments/name/{full_name}")

    def runs_of(self, full_name: str) -> list[Any]:
        """Runs of a deployment, the oldest first."""
        found = self.post(
            "flow_runs/filter",
            deployments={"id": {"any_": [self.deployment(full_name)["id"]]}},
            sort="EXPECTED_START_TIME_ASC",
        )
        return list(found)

    def start_run(self, full_name: str, **parameters: Any) -> str:
        path = f"deployments/{self.deployment(full_name)['id']}/create_flow_run"
        return str(self.post(path, parameters=parameters)["id"])

    def state(self, run_id: str) -> str:
        """The name of a run's state; nothing while the server is away."""
        try:
            return str(self.get(f"flow_runs/{run_id}")["state"]["name"])
        except httpx.TransportError:
            return ""

    def states(self, run_id: str) -> list[str]:
        """All names of states that a run had."""
        return [item["name"] for item in self.get(f"flow_run_states/?flow_run_id={run_id}")]


@contextmanager
def worker(server: PrefectServer, pool: str, name: str, **environment: str) -> Iterator[Process]:
    """A worker of a pool, on a machine of its own as it were."""
    process = Process(
        ["prefect", "worker", "start", "--pool", pool, "--name", name],
        {**server.environment, **environment},
        server.folder / f"{name}.log",
    )
    try:
        yield process
    finally:
        process.stop()


@contextmanager
def mlflow_server(environment: Mapping[str, str], folder: Path) -> Iterator[str]:
    """An MLflow server over HTTP; yields its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    arguments += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/files"]
    process = Process(arguments, environment, folder / "mlflow.log")

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/health").is_success
        except httpx.TransportError:
            return False

    try:
        wait_until(answers, f"MLflow's server, {process.log}")
        yield url
    finally:
        process.stop()


@contextmanager
def webhook_receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address that takes webhooks, and the list of the JSON that came."""
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook?token=blue-heron-17", received
    finally:
        server.shutdown()
        server.server_close()


def run_wavlm(environment: Mapping[str, str], *arguments: object) -> str:
    """Output of the command line; it has to end well."""
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *map(str, arguments)],
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
