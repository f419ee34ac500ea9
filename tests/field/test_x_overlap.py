"""Kind X: two runs that need the same thing at the same time.

Reported: `prepare` packed shards while a scheduled `pretrain` began, and `pretrain` ended at once with LOCKED; so did
the second of two trainings of one recipe. `stage shards --redo` moved shards to the trash while a training read them.
"""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows import make as flows_make
from flows.make import make, make_again, make_with_inputs
from tasks.orchestration import waiting
from tasks.orchestration.waiting import wait_out
from tests.tasks.conftest import SHARDS, build, recipe_of
from tests.waiting import LIMIT_SECONDS, wait_until
from wavlm.errors import BadDataError, LockedError
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Artifact, Corpus, Labels, Shards, build_order
from wavlm.pipeline.plan import plan
from wavlm.pipeline.store import Store
from wavlm.shards.facts import ShardsFacts
from wavlm.storage.facts import Facts
from wavlm.storage.holders import name_run

ROOT = Path(__file__).parents[2]
RECIPE = recipe_of(None)
AT_ONCE = Runtime(wait_minutes=0)
OF_OTHER_RUN = SHARDS.model_copy(update={"bytes": 777})  # by which what it makes is known
# Another run, which makes an artifact: it says that it has begun, and ends when it is told.
OTHER_RUN = """
import pickle, sys
from wavlm.pipeline.store import Store
from wavlm.storage.holders import name_run

artifact, facts, root = pickle.load(open(sys.argv[1], "rb"))

def build(out):
    print("begun", flush=True)
    sys.stdin.readline()
    return facts

with name_run("prepare tiny"):
    Store(root).redo(artifact)
    Store(root).make(artifact, build)
"""
(SHARDS_OF_VOICE,) = (item for item in plan(RECIPE) if isinstance(item, Shards) and item.name == "voice")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that holds the corpora."""
    store = Store(tmp_path / "store")
    for item in plan(RECIPE):
        if isinstance(item, Corpus):
            store.make(item, lambda out, item=item: build(item, store, out))
    return store


@contextmanager
def other_run(store: Store, artifact: Shards | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process that makes shards, those of `voice` if nothing else is said, until a line is written to it."""
    job = store.root / "other-run.pickle"
    job.write_bytes(pickle.dumps((artifact or SHARDS_OF_VOICE, OF_OTHER_RUN, store.root)))
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER_RUN, str(job)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def end(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=LIMIT_SECONDS)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """What a run that waits says. Straight from its logger: Prefect keeps our logs from the root logger."""
    logger = logging.getLogger(waiting.__name__)
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    monkeypatch.setattr(logger, "level", logging.INFO)
    monkeypatch.setattr(logger, "propagate", False)
    return caplog


@contextmanager
def waits(work: Callable[[], object], said: pytest.LogCaptureFixture) -> Iterator[None]:
    """Do the work in a thread. The block begins when it waits; it has ended when the block and the work have."""
    said.clear()
    waiter = threading.Thread(target=work)
    waiter.start()
    wait_until(lambda: "waiting" in said.text, "a line that says for whom")
    assert waiter.is_alive()
    yield
    waiter.join(LIMIT_SECONDS)
    assert not waiter.is_alive()


def refuse(_out: Path) -> Facts:
    raise AssertionError("made a second time")


def make_directly(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let `make` build without Prefect; returns the kinds that it builds."""
    made: list[str] = []

    def task(artifact: Artifact, store: Store, runtime: Runtime) -> Path:
        def count(out: Path) -> Facts:
            made.append(artifact.kind)
            return build(artifact, store, out)

        return wait_out(lambda: store.make(artifact, count), runtime)

    for kind in flows_make._TASKS:
        monkeypatch.setitem(flows_make._TASKS, kind, task)
    return made


def test_what_another_run_makes_is_waited_for_and_used(store: Store, said: pytest.LogCaptureFixture) -> None:
    folders: list[Path] = []
    with (
        other_run(store) as other,
        waits(lambda: folders.append(wait_out(lambda: store.make(SHARDS_OF_VOICE, refuse), Runtime())), said),
    ):
        end(other)
    assert folders == [store.path(SHARDS_OF_VOICE)]
    assert store.facts(SHARDS_OF_VOICE, ShardsFacts) == OF_OTHER_RUN
    for part in (f"process {other.pid} on ", "user ", " UTC", "run 'prepare tiny'"):
        assert part in said.text


def test_a_stage_waits_for_an_input_that_another_run_makes(
    store: Store, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    """Not built, for the flow `stage` builds no inputs; and not INPUT_MISSING with the advice to make it."""
    made = make_directly(monkeypatch)
    (mixtures, *_) = (item for item in plan(RECIPE) if item.kind == "mixtures")
    others = [item for item in mixtures.needs if item.key != SHARDS_OF_VOICE.key]
    for item in others:
        store.make(item, lambda out, item=item: build(item, store, out))
    with other_run(store) as other:
        with pytest.raises(LockedError, match=f"{SHARDS_OF_VOICE} is being made by process {other.pid}"):
            make(mixtures, RECIPE, store, AT_ONCE)
        with waits(lambda: make(mixtures, RECIPE, store, Runtime()), said):
            end(other)
    assert made == ["mixtures"]


def test_the_wait_has_an_end_and_can_be_none(store: Store) -> None:
    with other_run(store) as other:
        holder = f"{SHARDS_OF_VOICE} is being made by process {other.pid} on .*run 'prepare tiny'"
        with pytest.raises(LockedError, match=f"LOCKED: {holder}; at .*; wait for it or stop it") as refusal:
            wait_out(lambda: store.make(SHARDS_OF_VOICE, refuse), AT_ONCE)
        assert "also after" not in str(refusal.value)
        soon = Runtime.model_construct(wait_minutes=0.01)
        with pytest.raises(LockedError, match=f"LOCKED: {holder}, also after 0.01 minutes; at .*--wait"):
            wait_out(lambda: store.make(SHARDS_OF_VOICE, refuse), soon)


def test_a_killed_run_is_not_waited_for(store: Store) -> None:
    with other_run(store) as other:
        other.kill()
        other.wait()
        wait_out(lambda: store.make(SHARDS_OF_VOICE, lambda _: SHARDS), AT_ONCE)
    assert store.is_complete(SHARDS_OF_VOICE)


def test_what_is_in_use_is_not_moved_away(store: Store) -> None:
    store.make(SHARDS_OF_VOICE, lambda _: SHARDS)
    (labels, *_) = (item for item in plan(RECIPE) if isinstance(item, Labels))
    store.make(labels.codebook, lambda out: build(labels.codebook, store, out))

    def read_shards(out: Path) -> Facts:
        """Two trainings may read the same shards, and neither may lose them."""
        with pytest.raises(LockedError, match=f"{SHARDS_OF_VOICE} is in use by process .*run 'labels tiny'"):
            Store(store.root).redo(SHARDS_OF_VOICE)
        assert store.is_complete(SHARDS_OF_VOICE)
        return build(labels, store, out)

    with name_run("labels tiny"):
        store.make(labels, read_shards)
    assert Store(store.root).redo(SHARDS_OF_VOICE) is not None
    assert not store.is_complete(SHARDS_OF_VOICE)
    assert not list((store.root / "locks").glob("*.reader"))


@pytest.mark.parametrize("kind", ["labels", "pretrain"])
def test_what_a_stage_reads_behind_its_inputs_is_not_moved_away(store: Store, kind: str) -> None:
    """A training reads the shards of its labels, and labels of a hidden layer read the model: neither is a field."""
    *_, last = (item for item in plan(RECIPE) if item.kind == kind)
    behind = last.codebook.teacher if isinstance(last, Labels) else last.labels[0].shards
    for item in build_order([last]):
        if item != last:
            store.make(item, lambda out, item=item: build(item, store, out))

    def read(out: Path) -> Facts:
        with pytest.raises(LockedError, match=f"{behind} is in use by process"):
            Store(store.root).redo(behind)
        return build(last, store, out)

    store.make(last, read)
    assert Store(store.root).redo(behind) is not None


def test_two_runs_that_redo_the_same_make_it_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    made = make_directly(monkeypatch)
    store.make(SHARDS_OF_VOICE, lambda _: SHARDS)
    with other_run(store) as other, waits(lambda: make_again(SHARDS_OF_VOICE, RECIPE, store, Runtime()), said):
        end(other)
    assert store.facts(SHARDS_OF_VOICE, ShardsFacts) == OF_OTHER_RUN
    assert made == []
    make_again(SHARDS_OF_VOICE, RECIPE, store, AT_ONCE)  # nobody else does: it is made again
    assert made == ["shards"]


def test_a_run_makes_again_what_another_has_moved_away_meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """After this run has looked at the inputs, and before it has begun to read them."""
    made = make_directly(monkeypatch)
    (labels, *_) = (item for item in plan(RECIPE) if isinstance(item, Labels))
    for item in (SHARDS_OF_VOICE, labels.codebook):
        store.make(item, lambda out, item=item: build(item, store, out))
    task: Callable[..., Path] = flows_make._TASKS["labels"]

    def lose_shards_first(artifact: Artifact, store: Store, runtime: Runtime) -> Path:
        if made == []:
            store.redo(SHARDS_OF_VOICE)
        return task(artifact, store, runtime)

    monkeypatch.setitem(flows_make._TASKS, "labels", lose_shards_first)
    with pytest.raises(BadDataError, match="INPUT_MISSING"):
        make(labels, RECIPE, store, AT_ONCE)
    make_with_inputs(SHARDS_OF_VOICE, RECIPE, store, AT_ONCE)
    made.clear()
    make_with_inputs(labels, RECIPE, store, AT_ONCE)
    assert made == ["shards", "labels"]
