"""A Prefect server of our own for one run, on loopback, that cannot outlive its parent.

Prefect's own temporary server stays behind when its parent is killed or gets SIGTERM. This one asks
the kernel to be killed with its parent, and inherits its listening socket, so that no port is
guessed and no other process can take it in between.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx

from wavlm.errors import ServiceMissingError
from wavlm.execution.deadline import fetch
from wavlm.execution.processes import tie_to_parent
from wavlm.storage.files import open_atomic

START_SECONDS = 300.0  # on a busy machine; it takes a quarter of a minute on a quiet one
POLL_SECONDS = 5.0
BETWEEN_POLLS_SECONDS = 0.1
STOP_SECONDS = 5.0
QUIET_SECONDS = 3600.0  # after which a death is the first one again
MAX_STARTS = 3
PROBE_BYTES = 1 << 16
logger = logging.getLogger(__name__)

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
}
_gone: set[str] = set()  # `host:port` of those servers of this process that were given up
_LOOPBACK = ("127.0.0.1", "localhost")
_EPHEMERAL = {
    "PREFECT_UI_ENABLED": "false",
    "PREFECT__SERVER_EPHEMERAL": "1",  # only the services that a run needs: no scheduler
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_API_URL": "",
}


def reach_loopback() -> None:
    """Let this process and its children reach servers of this machine past a proxy that is set for all addresses."""
    for name in ("no_proxy", "NO_PROXY"):  # some libraries read the one, some the other, and the small one counts more
        listed = os.environ.get(name) or os.environ.get(name.swapcase(), "")
        hosts = [host.strip() for host in listed.split(",") if host.strip()]
        if hosts != ["*"]:
            os.environ[name] = ",".join(dict.fromkeys((*hosts, *_LOOPBACK)))


class OwnServer:
    """Starts at once; `url` is its API. If the server dies it is started again on its socket."""

    def __init__(self, home: Path) -> None:
        reach_loopback()
        home.mkdir(parents=True, exist_ok=True)
        self.log = home / "server.log"
        self._home = home
        self._listening = socket.socket()
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen()
        self._changing = threading.Lock()
        self._ended = False
        self._starts_left = MAX_STARTS
        self._started = 0.0
        self._process = self._start_process()
        self._place = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.url = f"http://{self._place}/api"
        _gone.discard(self._place)  # of an earlier server
        logger.info("a temporary Prefect server starts, which takes a quarter of a minute; its log: %s", self.log)
        threading.Thread(target=self._restart_when_dead, name="prefect-server", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self) -> None:
        """Return when the server answers; raises ServiceMissingError if it does not in START_SECONDS."""
        ends = time.monotonic() + START_SECONDS
        while self._starts_left and (left := ends - time.monotonic()) > 0:
            if answers(self.url, min(left, POLL_SECONDS)):
                return
            if self._starts_left < MAX_STARTS:  # it died: most often because it cannot write its database
                _require_room(self._home)
            time.sleep(BETWEEN_POLLS_SECONDS)
        self.stop()
        raise ServiceMissingError(
            "PREFECT_DOWN", f"the temporary Prefect server did not start; at {self.url}; see {self.log} and run again"
        )

    def stop(self) -> None:
        """End the server; call it after Prefect's clients have sent what they held (at exit)."""
        with self._changing:
            self._ended = True
            self._listening.close()
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _restart_when_dead(self) -> None:
        """Clients that find nobody behind the socket wait in its queue for the next server."""
        while True:
            self._process.wait()
            with self._changing:
                if time.monotonic() - self._started > QUIET_SECONDS:
                    self._starts_left = MAX_STARTS  # three deaths in weeks are no reason to give up
                self._starts_left -= 1
                if self._ended or not self._starts_left:
                    self._listening.close()  # clients are refused from here on, not kept waiting
                    if not self._ended:
                        _gone.add(self._place)
                        logger.warning("the temporary Prefect server died again, and is given up; %s", self.log)
                    return
                logger.warning("the temporary Prefect server died: started again; %s", self.log)
                with suppress(OSError):  # no process can be started now: that counts as one that died
                    self._process = self._start_process()

    def _start_process(self) -> subprocess.Popen[bytes]:
        descriptor = self._listening.fileno()
        self._started = time.monotonic()
        with self.log.open("ab") as log:
            # -P: a tasks.py in the folder where the command is run is not ours.
            return subprocess.Popen(  # noqa: S603 - our own module, no shell
                [sys.executable, "-P", "-m", "tasks.orchestration.server", str(descriptor), str(os.getpid())],
                pass_fds=[descriptor],
                env={**os.environ, **QUIET, **_EPHEMERAL, "PREFECT_HOME": str(self._home)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # an interrupt is the run's business, not the server's
            )


def is_gone(place: str) -> bool:
    """Whether a server of this process at `host:port` was given up: nobody needs to ask it again."""
    return place in _gone


def _require_room(home: Path) -> None:
    """Raise CannotWriteError if the disk of a folder is full or cannot be written: then that is why a server died."""
    probe = home / "room"
    with open_atomic(probe) as file:
        file.write(bytes(PROBE_BYTES))
    probe.unlink(missing_ok=True)


def answers(url: str, timeout_seconds: float) -> bool:
    """Whether a Prefect API answers at `url` in time."""
    try:
        with httpx.Client(timeout=timeout_seconds) as client:
            return bool(fetch(client, f"{url}/health", timeout_seconds).is_success)
    except (httpx.HTTPError, httpx.InvalidURL, OSError):
        return False


def _serve(descriptor: int, parent: int) -> None:
    """Run in the child: serve Prefect's API on an inherited listening socket."""
    tie_to_parent(signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call above
        return
    import uvicorn
    from prefect.server.api.server import create_app

    config = uvicorn.Config(create_app(), log_level="error", lifespan="on")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    _serve(int(sys.argv[1]), int(sys.argv[2]))
