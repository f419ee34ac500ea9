"""Promise: a signal to a whole run ends it with 75 within 20 s, nothing lives on, and the next run ends with the same.

Injection: SIGTERM, SIGINT or SIGKILL to `wavlm run`, at a random moment after the first file of a phase. Options:
`signal`, `when` (a pattern below the store; nothing: the start), `within` (milliseconds), `kind` (what is there before:
all that comes before this stage), `whole` (1: the next run is the command, too, and not its stages alone, which spares
a server of Prefect's). The point is the seed.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.faults.catalogue import Row
from tests.faults.results import ROOT
from tests.faults.scene import KINDS, Digests, Scene, differences, digests
from tests.faults.trial import MARK, ORPHAN_SECONDS, processes_of, promise
from wavlm.execution.launch import LOG

STOP_SECONDS = 20.0
LIMIT_SECONDS = 300.0
EXIT_STOPPED = 75


def count(scene: Scene, row: Row) -> int:
    """Any number: each seed is another moment."""
    return 0


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Start, wait for the phase, send, look, run again, compare."""
    fresh_from(scene, str(row.options["kind"]))
    process = start(scene)
    wait_for(process, scene.store, str(row.options.get("when", "")))
    time.sleep(random.Random(point).uniform(0, int(str(row.options["within"])) / 1000))  # noqa: S311 - to be repeated
    was_running, sent = process.poll() is None, time.monotonic()
    number = signal.Signals[str(row.options["signal"])]
    if was_running:
        process.send_signal(number)
    code, said, ended = end_of(process, scene)
    seconds = ended - sent
    if number == signal.SIGKILL:
        promise(code in {0, -number}, f"ended with {code}: {said[-800:]}")
    else:
        promise(code in {0, EXIT_STOPPED}, f"ended with {code} after {seconds:.1f} s: {said[-800:]}")
        promise(seconds <= STOP_SECONDS or code == 0, f"it took {seconds:.1f} s to stop")
        promise("Traceback" not in said, f"a traceback: {said[-800:]}")
    run_again(scene, as_whole=bool(row.options.get("whole")))
    return int(was_running), f"{number.name}: {code} after {seconds:.1f} s{'' if was_running else ', it had ended'}"


def fresh_from(scene: Scene, first: str) -> None:
    """A new copy of the finished store, in which this stage and all later ones are left to be made."""
    scene.expected  # noqa: B018 - before the trial, whose folder it uses
    scene.fresh("export")
    for kind in KINDS[KINDS.index(first) :]:
        shutil.rmtree(scene.place(kind), ignore_errors=True)


def run_again(scene: Scene, *, as_whole: bool) -> None:
    """The next run ends well, leaves nothing, and every artifact has the expected bytes."""
    if as_whole:
        code, said, _ = end_of(start(scene), scene)
        promise(code == 0, f"the command ended the second time with {code}: {said[-1500:]}")
    for kind in KINDS:
        if not as_whole:
            done = scene.run(kind)
            promise(done.code == 0, f"{kind} ended the second time with {done.code}: {done.said[-1500:]}")
        differs = differences(_sealed(digests(scene.place(kind))), _sealed(scene.expected[kind]))
        promise(not differs, f"{kind} has other bytes after the rerun: {differs}")


def end_of(process: subprocess.Popen[bytes], scene: Scene) -> tuple[int, str, float]:
    """The exit code of a run, what it said, and when it ended. Raises BrokenPromiseError unless all of it ends."""
    code: int | None = None
    try:
        code = process.wait(LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
    ended, said = time.monotonic(), (scene.trial / "log").read_text(errors="replace")
    left = _left(process.pid)
    promise(code is not None, f"no end within {LIMIT_SECONDS:.0f} s: {said[-800:]}")
    promise(not left, f"{len(left)} processes were left after {ORPHAN_SECONDS} s")
    assert code is not None
    return code, said, ended


def start(scene: Scene, **extra: str) -> subprocess.Popen[bytes]:
    """`wavlm run` of the scene's recipe in the trial's store, in a session of its own; `extra` are variables for it."""
    wavlm = [sys.executable, "-m", "flows.cli", "run", str(scene.recipe), "--store", str(scene.store)]
    options = ["--until", "export", "--workers", "1", "--threads", "1", "--processes", "1", "--no-tracking"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "LD_"))}
    home = scene.folder / "home"
    home.mkdir(exist_ok=True)
    environment = {**kept, "HOME": str(home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **extra}
    marked = ["sh", "-c", f'export {MARK}=$$; exec "$@"', "sh", *wavlm, *options]  # the shell becomes the command
    with (scene.trial / "log").open("wb") as log:
        return subprocess.Popen(marked, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)


def wait_for(process: subprocess.Popen[bytes], store: Path, pattern: str) -> None:
    """Until the phase begins; that of the start when signals have a handler: before, they end Python by themselves."""
    while process.poll() is None and not (any(store.glob(pattern)) if pattern else _handles(process.pid)):
        time.sleep(0.005)


def _handles(pid: int) -> bool:
    """Whether SIGTERM has a handler or is held back."""
    with suppress(OSError):
        text = Path(f"/proc/{pid}/status").read_text()
        lines = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        return bool((int(lines["SigCgt"], 16) | int(lines["SigBlk"], 16)) >> (signal.SIGTERM - 1) & 1)
    return False


def _sealed(found: Digests) -> Digests:
    """Without checkpoints, whose number is not part of a model, and without the log of a trainer of its own process."""
    return {name: digest for name, digest in found.items() if not name.startswith("snapshots/") and name != LOG}


def _left(session: int) -> list[int]:
    end = time.monotonic() + ORPHAN_SECONDS
    while (left := processes_of(session)) and time.monotonic() < end:
        time.sleep(0.1)
    for process in left:
        os.kill(process, signal.SIGKILL)
    return left
