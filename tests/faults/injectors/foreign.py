"""Promise: a run that is given the address of something else than a Prefect server ends with an error that names it.

Injection: at PREFECT_API_URL a server gives pages, errors or empty answers, hangs, cuts or sends for ever. The point is
the behaviour.
"""

from __future__ import annotations

import time

from tests.faults.bad_proxy import bad_proxy
from tests.faults.catalogue import Row
from tests.faults.injectors.server import QUICK
from tests.faults.injectors.signals import end_of, fresh_from, start
from tests.faults.scene import Scene
from tests.faults.trial import promise

BEHAVIOURS = ("page", "empty", "error", "half", "hang", "drip")
NOBODY = "http://127.0.0.1:9"  # behind the server
SECONDS = 120.0  # twice what is promised, for a busy machine
EXIT_MISSING = 69


def count(scene: Scene, row: Row) -> int:
    """The behaviours."""
    return len(BEHAVIOURS)


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Run with such a server, and look at how it ends."""
    fresh_from(scene, "export")
    behaviour = BEHAVIOURS[point - 1]
    with bad_proxy(NOBODY, behaviour, 1) as server:
        began = time.monotonic()
        process = start(scene, PREFECT_API_URL=f"{server.uri}/api", **QUICK)
        code, said, ended = end_of(process, scene)
    promise("Traceback" not in said, f"{behaviour}: a traceback: {said[-1500:]}")
    promise(code == EXIT_MISSING, f"{behaviour}: ended with {code}: {said[-800:]}")
    promise(ended - began < SECONDS, f"{behaviour}: it took {ended - began:.0f} s")
    promise(server.uri in said, f"{behaviour}: the address is not named: {said[-800:]}")
    return 1, f"{behaviour}: {said.strip().splitlines()[-1][:200]}"
