"""What an executor costs by itself: parts that do nothing on a Dask cluster, and what a killed worker costs.

The scheduler runs in the process of the driver, so the CPU time of that process is of both.
"""

from __future__ import annotations

import os
import resource
import signal
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.scale import Row, cost_of
from wavlm.execution import cluster
from wavlm.execution.cluster import Cluster

PARTS = 190_000  # of 94,000 hours: tars, files of labels and lists of 10,000 recordings
ALONE = 2_000  # parts, each of which is a batch
WORKERS = 2
GOAL = "<= 20 ms"
PARTS_OF_KILLED = 200


def measure(size: int | None = None) -> list[Row]:
    """CPU time per part and the growth of memory at so many parts; parts that are computed again after a kill."""
    size = size or PARTS
    cpu_s, early_mb, late_mb = cost_of(run_idle_parts, size).result
    alone_s, *_ = cost_of(run_idle_parts, ALONE, 1).result
    computed, again = cost_of(run_with_a_kill, PARTS_OF_KILLED).result
    idle = "driver and scheduler, parts that do nothing"
    return [
        Row(f"{idle}: CPU time per part", 1000 * cpu_s / size, "ms", size, "", GOAL),
        Row(f"{idle}, one per batch: CPU time per part", 1000 * alone_s / ALONE, "ms", ALONE, "", GOAL),
        Row("driver and scheduler: memory at a tenth of the parts", early_mb, "MB", size),
        Row("driver and scheduler: memory at the end", late_mb, "MB", size, "", "flat"),
        Row("parts computed again after one of two workers is killed", again, "parts", computed, "", f"<= {WORKERS}"),
    ]


def run_idle_parts(size: int, most_in_batch: int = cluster.MOST_PARTS) -> tuple[float, float, float]:
    """CPU seconds of the driver and its scheduler, and their memory at a tenth of the parts and at the end, in MB."""
    cluster.MOST_PARTS = most_in_batch  # in a process that does nothing else
    at: dict[int, float] = {}

    def look(done: float, total: float) -> None:
        tenth = int(10 * done / total)
        if tenth not in at:
            at[tenth] = _memory_mb()

    with tempfile.TemporaryDirectory() as root:
        began = resource.getrusage(resource.RUSAGE_SELF)
        Cluster("", Path(root))(range(size), do_nothing, WORKERS, look)
        ended = resource.getrusage(resource.RUSAGE_SELF)
    return ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime, at[1], at[10]


def run_with_a_kill(size: int) -> tuple[int, int]:
    """Parts of a tenth of a second, with one of the workers killed in the middle; how many, and how many twice."""
    with tempfile.TemporaryDirectory() as root:
        out = Path(root) / "out"
        out.mkdir()
        killed: list[int] = []

        def kill(done: float, total: float) -> None:
            if done >= total / 2 and not killed:
                last = max(out.glob("*.begun"), key=lambda path: path.stat().st_mtime_ns)
                killed.append(int(last.read_text().split()[-1]))
                os.kill(killed[0], signal.SIGKILL)

        Cluster("", Path(root))(range(size), partial(compute, out=out), WORKERS, kill)
        begun = [len(path.read_text().split()) for path in out.glob("*.begun")]
    return len(begun), sum(number - 1 for number in begun)


def do_nothing(_part: int) -> None:
    """A part that costs nothing itself."""


def compute(part: int, out: Path) -> None:
    """A part as stages have them: one that is done is found again."""
    if (out / f"{part}.done").exists():
        return
    with (out / f"{part}.begun").open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(0.1)
    (out / f"{part}.done").touch()


def _memory_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6
