"""Promise: runs, redo, gc, verify and readers at the same time lose nothing, tear nothing, and mix no versions.

Injection: six processes work on one store, each with random pauses: two runs, one that makes an artifact again, one
that deletes what nobody needs, one that verifies, one that reads batches. The point is the seed. At each tenth point
corpora and shards are made behind fences, as in a run; else without, which spares the start of processes.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from unittest.mock import patch

from flows.make import _TASKS
from tasks.jobs import job_of
from tasks.orchestration import waiting
from tests.faults.catalogue import Row
from tests.faults.scene import RUNTIME, Scene, digests
from tests.faults.trial import promise, start_forked
from wavlm.errors import CodedError
from wavlm.errors.boundary import code_errors
from wavlm.loader.epochs import SamplerState
from wavlm.loader.loader import loader
from wavlm.pipeline.garbage import kept as kept_recipes
from wavlm.pipeline.garbage.delete import delete_item
from wavlm.pipeline.garbage.find import find_garbage
from wavlm.pipeline.garbage.kept import find_kept
from wavlm.pipeline.garbage.notes import remember
from wavlm.pipeline.store import Store
from wavlm.pipeline.verify import verify

MADE = ("corpus", "shards", "codebook", "labels", "mixtures")
PATIENT = RUNTIME.model_copy(update={"wait_minutes": 5})
FENCED_EVERY = 10
# What a process may end with that meets another one: an input that was moved away, a lock.
REFUSALS = {65, 77}
ALLOWED = ("INPUT_MISSING", "LOCKED", "FILE_LOST", "FOLDER_LOST")


def count(scene: Scene, row: Row) -> int:
    """Any number: each seed is another interleaving."""
    return 0


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Let them loose, then run once in peace, and compare."""
    scene.expected  # noqa: B018 - before the trial, whose folder it uses
    rng, is_fenced = random.Random(point), point % FENCED_EVERY == 0  # noqa: S311 - to be repeated
    scene.fresh("export")
    missing = rng.choice(MADE)
    for kind in MADE[MADE.index(missing) :]:
        shutil.rmtree(scene.place(kind))
    store = Store(scene.store)
    remember(scene.recipe, store, tuple(scene.artifacts.values()))
    with patch.multiple(waiting, FIRST_SECONDS=0.05, LONGEST_SECONDS=0.4):
        running = {
            name: start_forked(partial(work, scene, rng.randrange(1 << 30), is_fenced=is_fenced), scene.trial / name)
            for name, work in ACTORS.items()
        }
    ended = {name: item.wait() for name, item in running.items()}
    for name, done in ended.items():
        is_refusal = done.code in REFUSALS and done.last_line.startswith(ALLOWED)
        promise(done.code == 0 or is_refusal, f"{name} ended with {done.code}: {done.said[-800:]}")
    for kind in MADE:
        done = scene.run(kind)
        promise(done.code == 0, f"{kind} in peace ended with {done.code}: {done.said[-800:]}")
        promise(digests(scene.place(kind)) == scene.expected[kind], f"{kind} has other bytes")
    return 1, f"from {missing} on; " + ", ".join(f"{name} {done.code}" for name, done in ended.items())


def _pauses(seed: int) -> Callable[[], None]:
    rng = random.Random(seed)  # noqa: S311 - to be repeated
    return lambda: time.sleep(rng.choice((0, 0, 0.02, 0.1, 0.4)))


def _make(scene: Scene, kind: str, *, is_fenced: bool) -> None:
    if is_fenced:
        _TASKS[kind].fn(scene.artifacts[kind], Store(scene.store), PATIENT)
    else:
        waiting.wait_out(partial(scene.make, kind, scene.store), PATIENT)


def _run(scene: Scene, seed: int, *, is_fenced: bool) -> None:
    pause = _pauses(seed)
    for kind in MADE:
        pause()
        _make(scene, kind, is_fenced=is_fenced)


def _redo(scene: Scene, seed: int, *, is_fenced: bool) -> None:
    pause, store = _pauses(seed), Store(scene.store)
    kind = random.Random(seed).choice(MADE)  # noqa: S311 - to be repeated
    for _ in range(2):
        pause()
        store.redo(scene.artifacts[kind])
        _make(scene, kind, is_fenced=is_fenced)


def _collect(scene: Scene, seed: int, **_: bool) -> None:
    pause, store = _pauses(seed), Store(scene.store)
    with patch.object(kept_recipes, "names_in", lambda _: []):  # shipped recipes want nothing here, and take a second
        for _ in range(4):
            pause()
            kept = find_kept(store, [scene.recipe])
            for item in find_garbage(store, kept)[0]:
                failure = delete_item(item, store, kept)
                if failure is not None and failure.code != "LOCKED":
                    raise failure


def _verify(scene: Scene, seed: int, **_: bool) -> None:
    pause, store = _pauses(seed), Store(scene.store)
    for _ in range(4):
        pause()
        for folder in list(store.folders()):
            with code_errors(folder):
                damage = verify(folder)
            assert not damage or not folder.exists(), damage


def _read(scene: Scene, seed: int, **_: bool) -> None:
    """Batches are the same each time, or refused."""
    pause, store = _pauses(seed), Store(scene.store)
    found = set()
    for _ in range(6):
        pause()
        try:
            with code_errors(store.root):
                job = job_of(scene.artifacts["pretrain"], store, RUNTIME, scene.trial / "reader-out")  # type: ignore[arg-type]
                whole = hashlib.sha256()
                for batch in islice(loader(job, SamplerState()), 4):
                    whole.update(batch.audio.pcm.numpy().tobytes() + batch.labels.numpy().tobytes())
        except CodedError:
            continue
        found.add(whole.hexdigest())
    assert len(found) <= 1, f"{len(found)} versions were read"


ACTORS: dict[str, Callable[..., None]] = {
    "run": _run, "another run": _run, "redo": _redo, "gc": _collect, "verify": _verify, "reader": _read,
}  # fmt: skip
