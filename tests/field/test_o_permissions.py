"""Kind O: stores that several people use.

People reported: the second user of a shared store got "[Errno 13] ... locks/....lock" without a code; who may
only read a store could not list its models, because a lock file could not be opened.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tasks.conftest import empty_registry  # noqa: F401 - a fixture

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as several users"),
]
ROOT = Path(__file__).parents[2]
GROUP, ANNA, BERT, CARL = 12000, 12001, 12002, 12003
# Anna makes all that two iterations need; each of both registers one of them.
WORK = """
import sys
from pathlib import Path
from tasks.register import register_model
from tasks.registry.lookup import list_models, pull_model, show_model
from tests.tasks.conftest import BuiltStore, build, recipe_of
from wavlm.errors import CodedError
from wavlm.pipeline.artifacts import Registration
from wavlm.pipeline.plan import plan
from wavlm.pipeline.store import Store
from wavlm.specs import GateSpec

store, what = Store(sys.argv[1]), sys.argv[2]
built = BuiltStore(store, recipe_of(GateSpec(metric="valid/loss", higher_is_better=False)))
try:
    if what == "make":
        for artifact in plan(built.recipe):
            if not isinstance(artifact, Registration):
                store.make(artifact, lambda out, item=artifact: build(item, store, out))
    elif what == "register":
        print(register_model(built.registrations[int(sys.argv[3])], store, built.recipe))
    elif what == "again":
        store.redo(built.models[1])
        store.make(built.models[1], lambda out: build(built.models[1], store, out))
    else:
        (model,) = list_models(store)
        print(model.name, len(model.versions), len(show_model(store, model.name).versions))
        print(pull_model(store, model.name, Path(sys.argv[3])))
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


@pytest.fixture
def run_as(place: Path) -> As:
    """Run the work above as a user of the group, with the umask that most systems have."""

    def run(user: int, *arguments: object, group: int = GROUP) -> subprocess.CompletedProcess[str]:
        home = place / f"home{user}"
        home.mkdir(exist_ok=True)
        os.chown(home, user, group)
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("MLFLOW_", "PREFECT_"))}
        return subprocess.run(
            [sys.executable, "-c", WORK, *map(str, arguments)],
            cwd=home,
            env={**kept, "HOME": str(home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MPLCONFIGDIR": str(home)},
            user=user,
            group=group,
            extra_groups=[group],
            umask=0o022,
            capture_output=True,
            text=True,
            check=False,
        )

    if subprocess.run([sys.executable, "-c", "import wavlm"], cwd=ROOT, user=ANNA, group=GROUP, check=False).returncode:
        pytest.skip("other users cannot read this checkout or its Python")
    return run


def worked(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_group_shares_a_store(place: Path, run_as: As, empty_registry: Path) -> None:  # noqa: F811
    root = place / "store"
    root.mkdir()
    os.chown(root, ANNA, GROUP)
    root.chmod(0o775)  # the group's bit that hands the group down is set by the owner's first command
    worked(run_as(ANNA, root, "make"))
    worked(run_as(ANNA, root, "register", 0))
    worked(run_as(BERT, root, "register", 1))
    worked(run_as(BERT, root, "again"))  # moves what Anna made, takes her locks
    worked(run_as(ANNA, root, "again"))  # and back
    worked(run_as(ANNA, root, "register", 1))
    assert "WavLM-tiny 2 2" in worked(run_as(BERT, root, "look", place / "home12002" / "pulled"))
    for path in (root, *root.rglob("*")):
        found = path.stat()
        assert found.st_gid == GROUP, path
        if path.is_dir() or path.suffix in (".lock", ".db"):
            assert found.st_mode & stat.S_IWGRP, path


def test_what_was_made_before_the_folders_were_shared_is_used_or_refused_with_advice(place: Path, run_as: As) -> None:
    root = place / "store"
    root.mkdir()
    os.chown(root, ANNA, GROUP)
    worked(run_as(ANNA, root, "make"))
    worked(run_as(ANNA, root, "register", 0))
    for path in (root, *root.rglob("*")):
        if path.is_dir():
            path.chmod(0o2775)
    worked(run_as(BERT, root, "again"))  # Anna's lock file can only be read
    done = run_as(BERT, root, "register", 1)
    assert done.returncode == 77, done.stdout + done.stderr
    assert f"REGISTRY_READONLY: this user may not write the registry; at {root}/registry/mlflow.db; " in done.stdout
    assert f"chmod -R g+rwX {root}/registry" in done.stdout
    for path in (root / "registry").rglob("*"):
        path.chmod(path.stat().st_mode | stat.S_IWGRP)
    worked(run_as(BERT, root, "register", 1))


def test_a_reader_needs_no_permission_to_write_also_where_the_store_was_moved(place: Path, run_as: As) -> None:
    first = place / "first"
    first.mkdir()
    os.chown(first, ANNA, GROUP)
    worked(run_as(ANNA, first, "make"))
    worked(run_as(ANNA, first, "register", 0))
    root = first.rename(place / "second")
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert "WavLM-tiny 1 1" in worked(run_as(CARL, root, "look", place / "home12003" / "pulled", group=12009))
    assert (place / "home12003" / "pulled" / "model.safetensors").is_file()
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert sorted(path.name for path in place.iterdir()) == ["home12001", "home12003", "second"]
