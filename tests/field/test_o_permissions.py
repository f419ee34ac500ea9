"""Kind O: stores that several people use.

People reported: the second user of a shared store got "[Errno 13] ... locks/....lock" without a code; who may
only read a store could not list its models, because a lock file could not be opened.
"""

from __future__ import annotations

import os
import shutil
import site
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.mlflow_server import serve_mlflow
from tests.tasks.conftest import empty_registry  # noqa: F401 - a fixture

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as several users"),
]
ROOT = Path(__file__).parents[2]
GROUP, OTHERS, ANNA, BERT, CARL = 12000, 12009, 12001, 12002, 12003
# What a user does with a store, step by step.
WORK = """
import sys
from pathlib import Path
from tasks.register import register_model
from tasks.registry.lookup import list_models, pull_model, show_model
from tasks.registry.lost import take_back_lost
from tests.tasks.conftest import BuiltStore, build, recipe_of
from wavlm.errors import CodedError
from wavlm.pipeline.artifacts import Registration
from wavlm.pipeline.plan import plan
from wavlm.pipeline.store import Store
from wavlm.specs import GateSpec

store = Store(sys.argv[1])
built = BuiltStore(store, recipe_of(GateSpec(metric="valid/loss", higher_is_better=False)))
def make():
    for artifact in plan(built.recipe):
        if not isinstance(artifact, Registration):
            store.make(artifact, lambda out, item=artifact: build(item, store, out))

def register(number):
    print(register_model(built.registrations[int(number)], store, built.recipe))

def again():
    store.redo(built.models[1])
    store.make(built.models[1], lambda out: build(built.models[1], store, out))

def run():
    print("taken back:", len(take_back_lost(plan(built.recipe), store)))

def look(out):
    (model,) = list_models(store)
    print(model.name, len(model.versions), len(show_model(store, model.name).versions))
    print(pull_model(store, model.name, Path(out)))

try:
    for step in sys.argv[2:]:
        name, _, argument = step.partition("=")
        globals()[name](*filter(None, [argument]))
except CodedError as error:
    print(error)
    sys.exit(error.exit_code)
"""
As = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody reaches; pytest's own is root's alone."""
    folder = Path(tempfile.mkdtemp(prefix="wavlm-o-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def start(
    user: int, group: int, home: Path, *arguments: object, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run Python as a user of a group, with the umask that most systems have.

    Our own interpreter may lie in a folder of root's alone: then the system's one of the same version runs.
    """
    minor = f"python3.{sys.version_info.minor}"
    found = [path for path in (sys.executable, shutil.which(minor, path="/usr/bin:/usr/local/bin")) if path]
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("MLFLOW_", "PREFECT_"))}
    paths = os.pathsep.join((str(ROOT), *site.getsitepackages()))
    for python in found:
        with suppress(PermissionError):
            return subprocess.run(
                [python, *map(str, arguments)],
                cwd=home,
                env={**kept, "HOME": str(home), "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **environment},
                user=user,
                group=group,
                extra_groups=[group],
                umask=0o022,
                capture_output=True,
                text=True,
                check=False,
            )
    pytest.skip("other users cannot read a Python of this version")


@pytest.fixture
def run_as(place: Path) -> As:
    """Run the work above as a user."""

    def run(user: int, *arguments: object, group: int = GROUP, **environment: str) -> subprocess.CompletedProcess[str]:
        home = place / f"home{user}"
        home.mkdir(exist_ok=True)
        os.chown(home, user, group)
        return start(user, group, home, "-c", WORK, *arguments, **environment)

    done = start(ANNA, GROUP, place, "-c", "import wavlm, numpy, mlflow")
    if done.returncode:
        pytest.skip(f"other users cannot import what is needed: {done.stderr[-200:]}")
    return run


def worked(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.full
def test_a_group_shares_a_store_and_others_read_it(place: Path, run_as: As) -> None:
    first = place / "first"
    first.mkdir()
    os.chown(first, ANNA, GROUP)
    first.chmod(0o775)  # the bit that hands the group down is set by the owner's first command
    worked(run_as(ANNA, first, "make", "register=0"))
    worked(run_as(BERT, first, "again", "register=1"))  # moves what Anna made, takes her locks
    worked(run_as(ANNA, first, "again", "register=1"))  # and back
    for path in (first, *first.rglob("*")):
        found = path.stat()
        assert found.st_gid == GROUP, path
        if path.is_dir() or path.suffix in (".lock", ".db"):
            assert found.st_mode & stat.S_IWGRP, path

    root = first.rename(place / "second")
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    pulled = place / f"home{CARL}" / "pulled"
    assert "WavLM-tiny 2 2" in worked(run_as(CARL, root, f"look={pulled}", group=OTHERS))
    assert (pulled / "model.safetensors").is_file()
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert not first.exists()


@pytest.mark.full
def test_what_was_made_before_the_folders_were_shared_is_used_or_refused_with_advice(place: Path, run_as: As) -> None:
    root = place / "store"
    root.mkdir()
    os.chown(root, ANNA, GROUP)
    worked(run_as(ANNA, root, "make", "register=0"))
    for path in (root, *root.rglob("*")):
        if path.is_dir():
            path.chmod(0o2775)
    done = run_as(BERT, root, "again", "register=1")  # Anna's lock files can only be read
    assert done.returncode == 77, done.stdout + done.stderr
    assert f"REGISTRY_READONLY: this user may not write the registry; at {root}/registry/mlflow.db; " in done.stdout
    assert f"chmod -R g+rwX {root}/registry" in done.stdout
    for path in (root / "registry").rglob("*"):
        path.chmod(path.stat().st_mode | stat.S_IWGRP)
    worked(run_as(BERT, root, "register=1"))


@pytest.mark.full
def test_who_only_reads_a_store_looks_at_a_server_and_changes_nothing_when_it_forgot(
    place: Path,
    run_as: As,
    tmp_path: Path,
    empty_registry: Path,  # noqa: F811
) -> None:
    root = place / "store"
    root.mkdir()
    os.chown(root, ANNA, GROUP)
    schema = empty_registry / "mlflow.db"
    with serve_mlflow(tmp_path / "server", schema) as uri:
        worked(run_as(ANNA, root, "make", "register=0", "register=1", MLFLOW_TRACKING_URI=uri))
        before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
        pulled = place / f"home{CARL}" / "pulled"
        done = run_as(CARL, root, "run", f"look={pulled}", group=OTHERS, MLFLOW_TRACKING_URI=uri)
        assert "taken back: 0" in worked(done)
        assert "WavLM-tiny 2 2" in done.stdout
    with serve_mlflow(tmp_path / "anew", schema, port=int(uri.rpartition(":")[2])):
        done = run_as(CARL, root, "run", group=OTHERS, MLFLOW_TRACKING_URI=uri)
        assert "taken back: 0" in worked(done)
        assert "to register it again: wavlm sync RECIPE" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
