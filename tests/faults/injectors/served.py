"""Promise: a server of a registry that dies, hangs or lies holds up no training; `sync` completes it, each figure once.

Injection: a proxy before a real MLflow server that is bad from the n-th request on, while a training is followed, or
while its model is registered. Options: `what` (follow, register). The point is the behaviour and the request.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import time
from contextlib import ExitStack
from functools import cache, partial

from tasks.register import register_model, sync
from tests.faults.bad_proxy import BEHAVIOURS, bad_proxy
from tests.faults.catalogue import Row
from tests.faults.injectors.registration import RECIPE, describe, differences_of, fresh_registry, import_client
from tests.faults.injectors.tracking import END_SECONDS, follow
from tests.faults.scene import Scene
from tests.faults.trial import promise, run_forked
from tests.mlflow_server import serve_mlflow
from wavlm.pipeline.artifacts import Registration
from wavlm.pipeline.plan import plan
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe

PLACES = 4  # per behaviour
NEVER = 1 << 30
CODED = {0, 69, 77}
# A server that hangs has twenty seconds by default.
QUICK = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "2", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}


def count(scene: Scene, row: Row) -> int:
    """Behaviours times places."""
    return len(BEHAVIOURS) * PLACES


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Let it turn bad, then register with the good server, and compare what that one holds."""
    requests, wanted = _undisturbed(scene, str(row.options["what"]))
    behaviour = sorted(BEHAVIOURS)[(point - 1) // PLACES]
    at = 2 + (point - 1) % PLACES * (requests - 2) // PLACES
    fresh_registry(scene)
    said = _disturb(scene, row, _recipe(f"{row.id}-{point}"), (behaviour, at))
    got = _synced(scene, _recipe(f"{row.id}-{point}"))
    promise(got == wanted, f"{behaviour} from request {at} on: the registry differs: {differences_of(got, wanted)}")
    return int(said.startswith("turned")), f"{behaviour} from request {at} of {requests} on: {said}"


@cache
def _undisturbed(scene: Scene, what: str) -> tuple[int, str]:
    """How many requests it takes with a good server, and what that holds in the end."""
    import_client()
    fresh_registry(scene)
    _server(scene)  # before any fork, which would be its parent
    recipe, row = _recipe(f"good-{what}"), Row(id="good", fault="", stage="", promise="", inject="served", goal="G7",
                                              full=1, options={"what": what})  # fmt: skip
    said = _disturb(scene, row, recipe, ("slow", NEVER))
    return int(said.split()[-2]), _synced(scene, recipe)


def _disturb(scene: Scene, row: Row, recipe: Recipe, bad: tuple[str, int]) -> str:
    work = _follow if row.options["what"] == "follow" else _register
    done = run_forked(partial(work, scene, recipe, bad), scene.trial / "log")
    promise("Traceback" not in done.said, f"{bad}: a traceback: {done.said[-1500:]}")
    promise(done.code in (CODED if work is _register else {0}), f"{bad}: ended with {done.code}: {done.said[-1500:]}")
    return next(line for line in reversed(done.said.splitlines()) if line.startswith(("turned", "not met")))


def _follow(scene: Scene, recipe: Recipe, bad: tuple[str, int]) -> None:
    os.environ |= QUICK
    with bad_proxy(_server(scene), *bad) as proxy:
        os.environ["MLFLOW_TRACKING_URI"] = proxy.uri
        follow(Store(scene.store), recipe, proxy.turned.is_set)
        sys.stdout.write(f"\n{'turned' if proxy.turned.is_set() else 'not met'}, after {proxy.seen} requests\n")


def _register(scene: Scene, recipe: Recipe, bad: tuple[str, int]) -> None:
    os.environ |= QUICK
    registration = next(item for item in plan(recipe) if isinstance(item, Registration))
    with bad_proxy(_server(scene), *bad) as proxy:
        os.environ["MLFLOW_TRACKING_URI"] = proxy.uri
        began = time.monotonic()
        try:
            register_model(registration, Store(scene.store), recipe)
        finally:
            seconds = time.monotonic() - began
            sys.stdout.write(f"\n{'turned' if proxy.turned.is_set() else 'not met'}, after {proxy.seen} requests\n")
        assert seconds < 4 * END_SECONDS, f"it took {seconds:.0f} s"


def _synced(scene: Scene, recipe: Recipe) -> str:
    """What the good server holds after `wavlm sync`."""
    done = run_forked(partial(_sync, scene, recipe), scene.trial / "log")
    promise(done.code == 0, f"sync ended with {done.code}: {done.said[-1500:]}")
    return done.said.strip().splitlines()[-1]


def _sync(scene: Scene, recipe: Recipe) -> None:
    os.environ["MLFLOW_TRACKING_URI"] = _server(scene)
    sync(recipe, Store(scene.store))
    describe(scene, recipe, has_digests=False)  # a card names its recipe


def _recipe(name: str) -> Recipe:
    """The recipe under another name: it shares the models, and neither runs nor versions."""
    return RECIPE.model_copy(update={"name": name, "registry_name": f"WavLM-{name}"})


@cache
def _server(scene: Scene) -> str:
    """The address of one MLflow server for all trials, which ends with the campaign."""
    stack = ExitStack()
    folder = scene.folder / "server"
    shutil.rmtree(folder, ignore_errors=True)
    uri = stack.enter_context(serve_mlflow(folder, scene.folder / "prepared" / "registry" / "mlflow.db"))
    atexit.register(stack.close)
    return uri
