"""Promise: a registration that is killed at any event is gone on with: one version, whole, each figure once.

Injection: kill -9 at an event on files while a model is registered in MLflow's database in the store.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tasks.register import register_model
from tasks.registry.connection import connect
from tests.faults.catalogue import Row
from tests.faults.events import Action, Fault
from tests.faults.scene import Scene
from tests.faults.trial import Ended, promise, run_forked
from tests.tasks.conftest import build, recipe_of
from wavlm.pipeline.artifacts import Registration
from wavlm.pipeline.plan import plan
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe

RECIPE = recipe_of(None)


def count(scene: Scene, row: Row) -> int:
    """The events of an undisturbed registration, whose outcome is kept for comparison."""
    import_client()  # all trials are forks that have it
    fresh_registry(scene)
    with scene.control.armed(Fault(), scene.store):
        done = run_forked(partial(_register, scene), scene.trial / "log", scene.control)
    promise(done.code == 0, f"the undisturbed registration ended with {done.code}: {done.said[-1500:]}")
    (scene.folder / "registered").write_text(state_of(scene))
    return scene.control.count


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Kill, register again, compare what the registry then holds."""
    if not (scene.folder / "registered").exists():
        count(scene, row)
    fresh_registry(scene)
    with scene.control.armed(Fault(Action.KILL, point), scene.store):
        done = run_forked(partial(_register, scene), scene.trial / "log", scene.control)
    has_fired = scene.control.has_fired
    promise(done.was_killed or not has_fired, f"ended with {done.code}: {done.said[-800:]}")
    again: Ended = run_forked(partial(_register, scene), scene.trial / "log")
    promise(again.code == 0, f"the second attempt ended with {again.code}: {again.said[-1500:]}")
    got, wanted = state_of(scene), (scene.folder / "registered").read_text()
    promise(got == wanted, f"the registry holds something else: {differences_of(got, wanted)}")
    return int(has_fired), f"ended with {done.code}"


def import_client() -> None:
    """Import MLflow here, which takes seconds."""
    from tasks.registry import connection

    connection._set_environment()
    connection._import_client()


def differences_of(got: str, wanted: str) -> list[str]:
    """What is said of one version and not of the other."""
    said = [
        {f"{name}={value}" for version in json.loads(text) for name, value in _flat(version)} for text in (got, wanted)
    ]
    return sorted(said[0] ^ said[1])


def _flat(version: dict[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in version.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{key}", item) for key, item in value.items())
        else:
            yield name, value


def fresh_registry(scene: Scene) -> None:
    """A copy of a store with small models, whose registry was used once: a new database takes ten seconds."""
    prepared = scene.folder / "prepared"
    if not (prepared / "done").exists():
        shutil.rmtree(prepared, ignore_errors=True)
        done = run_forked(partial(_prepare, prepared), scene.folder / "log")
        promise(done.code == 0, f"no registry: {done.said[-1500:]}")
    shutil.rmtree(scene.trial, ignore_errors=True)
    shutil.copytree(prepared, scene.store)


def _prepare(root: Path) -> None:
    store = Store(root)
    for artifact in plan(RECIPE):
        if not isinstance(artifact, Registration):
            store.make(artifact, partial(build, artifact, store))
    connect(store)
    (root / "done").touch()


def _register(scene: Scene) -> None:
    registration = next(item for item in plan(RECIPE) if isinstance(item, Registration))
    register_model(registration, Store(scene.store), RECIPE)


def state_of(scene: Scene) -> str:
    """What the registry holds, without names and times that differ from run to run."""
    done = run_forked(partial(describe, scene, RECIPE), scene.trial / "log")
    promise(done.code == 0, f"the registry cannot be read: {done.said[-1500:]}")
    return done.said.strip().splitlines()[-1]


def describe(scene: Scene, recipe: Recipe, *, has_digests: bool = True) -> None:
    """Write it as one line of JSON."""
    client = connect(Store(scene.store)).client
    found = []
    versions = client.search_model_versions(f"name='{recipe.registry_name}'")
    for number, version in enumerate(sorted(versions, key=lambda item: int(item.version))):
        run = client.get_run(version.run_id)
        history = {name: len(client.get_metric_history(version.run_id, name)) for name in sorted(run.data.metrics)}
        files = _files(version.source)
        found.append({"version": number, "status": version.status, "run": run.info.status,
                      "aliases": sorted(version.aliases), "tags": sorted(version.tags), "figures": history,
                      "files": files if has_digests else sorted(files)})  # fmt: skip
    sys.stdout.write(json.dumps(found, sort_keys=True))


def _files(source: str) -> dict[str, str]:
    import mlflow

    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=source))
    found = {}
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        is_timed = path.name in {"MLmodel", "lineage.json"}
        digest = "has a time, or the commit" if is_timed else hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        found[path.relative_to(folder).as_posix()] = digest
    return found
