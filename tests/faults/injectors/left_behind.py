"""Promise: damage of what a killed evaluation left is no other result: it is made again, or refused with a code.

Injection: an evaluation is killed at a random event on files; then a file that it left is damaged (option `damage`),
and the evaluation is run again, with the same cache of features. The point is the seed. Without the option it is killed
alone, at an event that is the point.
"""

from __future__ import annotations

import random
import shutil
import sys
from functools import lru_cache, partial
from pathlib import Path

from tests.faults.catalogue import Row
from tests.faults.events import Action, Fault
from tests.faults.scene import Digests, Scene, digests
from tests.faults.trial import promise, run_forked, run_teaching
from tests.flows.tones import write_tones
from tests.pipeline.test_heard import make_shards
from tests.sealed import DAMAGES
from tests.tiny_specs import tiny_network
from wavlm.errors import CodedError
from wavlm.evaluation.features.states import Subject
from wavlm.evaluation.labelled import LabelledCorpus
from wavlm.evaluation.run import Inputs, run_evaluation
from wavlm.pipeline.store import Store
from wavlm.specs.evaluation import EvaluationSpec, RandomBaseline
from wavlm.specs.yaml import find_suite

IN_SIGHT = 0.8
CODED = {65}  # damaged files of an evaluation are bad data


def count(scene: Scene, row: Row) -> int:
    """The events of an undisturbed evaluation; of damage any number."""
    root = _prepare(scene.folder)
    if "damage" in row.options:
        return 0
    return int((root / "events").read_text())


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Kill, damage, run again, compare."""
    root, rng = _prepare(scene.folder), random.Random(point)  # noqa: S311 - to be repeated
    events, damage = int((root / "events").read_text()), row.options.get("damage")
    trial = root / "trial"
    shutil.rmtree(trial, ignore_errors=True)
    trial.mkdir()
    at = rng.randint(1, events) if damage else point
    with scene.control.armed(Fault(Action.KILL, at), trial):
        done = run_forked(partial(_evaluate, root, trial), scene.folder / "log", scene.control)
    promise(done.was_killed or done.code == 0, f"ended with {done.code}: {done.said[-800:]}")
    what = _damage(trial, str(damage), rng) if damage else ""
    again = run_forked(partial(_evaluate, root, trial), scene.folder / "log")
    if damage and again.code in CODED:
        promise(Path(what).name in again.said, f"{what}: another file is named: {again.said[-300:]}")
        return 1, f"{what}: {again.last_line}"
    promise(again.code == 0, f"{what}: the rerun ended with {again.code}: {again.said[-1500:]}")
    promise(_scores(trial) == _scores(root / "expected"), f"at {at}, {what}: another result, and no error")
    return 1, f"killed at {at}; {what}: the same scores"


@lru_cache(1)
def _prepare(folder: Path) -> Path:
    """The inputs, and what an undisturbed evaluation gives."""
    root = folder / "evaluation"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    run_teaching(partial(_write, root), folder / "log", "evaluation")
    return root


def _write(root: Path) -> None:
    suite, store = write_tones(root, {"ks": "tones"}), Store(root / "store")
    shards = make_shards(root / "corpora/tones.yaml", store)
    for name, artifact in (("corpus", shards.corpus), ("shards", shards)):
        (root / name).symlink_to(store.path(artifact))
    assert suite == root / "suites/tones.yaml"
    (root / "expected").mkdir()
    from tests.faults.events import control

    with control().armed(Fault(), root / "expected"):
        _evaluate(root, root / "expected")
    (root / "events").write_text(str(control().count))


def _spec(root: Path) -> EvaluationSpec:
    spec = find_suite(root / "suites/tones.yaml").evaluations[0]
    assert spec.fit is not None
    fit = spec.fit.model_copy(update={"learning_rates": (1e-2, 1e-3), "updates": 4, "dev_every": 2})
    return spec.model_copy(update={"fit": fit, "single_layers": False})


def _evaluate(root: Path, folder: Path) -> None:
    labelled = LabelledCorpus("tones", (root / "corpus").resolve(), (root / "shards").resolve(), 0)
    subject = Subject("random", baseline=RandomBaseline(type="random", network=tiny_network()))
    inputs = Inputs((labelled,), (), {"tones": (root / "shards").resolve()}, subject, "random")
    (folder / "out").mkdir(exist_ok=True)
    try:
        run_evaluation(_spec(root), inputs, folder / "cache", folder / "out")
    except CodedError as error:
        sys.stdout.write(f"{error}\n")
        raise


def _scores(folder: Path) -> Digests:
    """All that the store would seal: it removes what a killed attempt has left under hidden names."""
    return {name: digest for name, digest in digests(folder / "out").items() if not Path(name).name.startswith(".")}


def _damage(trial: Path, kind: str, rng: random.Random) -> str:
    """Damage a file that is there, seldom one with a hidden name; its name."""
    files = sorted(path for path in trial.rglob("*") if path.is_file() and path.stat().st_size)
    if not files:
        return "nothing was left"
    visible = [path for path in files if not path.name.startswith(".")]
    path = rng.choice(visible if visible and rng.random() < IN_SIGHT else files)
    path.write_bytes(next(item for item in DAMAGES if item.__name__ == kind)(path.read_bytes(), rng))
    return path.relative_to(trial).as_posix()
