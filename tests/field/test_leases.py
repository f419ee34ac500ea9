"""Kind: locks of a shared disk on which the kernel's locks do nothing, over several machines.

Reported: with flock refused (ENOSYS, on Lustre) a holder that had died on another machine locked for ever; where it did
nothing, two runs made the same artifact at the same time.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.facts import SHARDS
from tests.field.test_x_overlap import RECIPE, SHARDS_OF_VOICE
from tests.tasks.conftest import build
from tests.waiting import wait_until
from wavlm.errors import LockedError
from wavlm.pipeline.artifacts import Corpus
from wavlm.pipeline.plan import plan
from wavlm.pipeline.store import Store
from wavlm.pipeline.verify import verify
from wavlm.storage import holders, leases
from wavlm.storage.facts import Facts
from wavlm.storage.holders import find_owner
from wavlm.storage.locks import hold_lock

ROOT = Path(__file__).parents[2]
# A process of another machine, as far as it and we can see: kernel locks do nothing, and heartbeats are quick.
PREAMBLE = """
import fcntl, sys, time
from pathlib import Path
from wavlm.storage import holders, leases
fcntl.flock = lambda *_: None
machine, folder = sys.argv[1], Path(sys.argv[2])
if machine:
    holders.this_machine = lambda: machine
leases.BEAT_SECONDS, leases.LEASE_SECONDS, leases.MOST_PER_LOOK_SECONDS = 0.1, 2.0, 0.5
from wavlm.storage import locks
locks.LEASE_SECONDS, locks.RETRY_SECONDS = 2.0, 0.01
"""
HOLD = """
with locks.hold_lock(folder / "a.lock", "the thing"):
    print("held", flush=True)
    sys.stdin.readline()
"""
COUNT = """
for _ in range(20):
    with locks.wait_for_lock(folder / "a.lock", "the thing", 100, lambda *_: None):
        number = int((folder / "number").read_text())
        time.sleep(0.002)
        (folder / "number").write_text(str(number + 1))
"""


@contextmanager
def process(script: str, folder: Path, machine: str = "") -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + script, machine, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", 2.0)
    monkeypatch.setattr(leases, "MOST_PER_LOOK_SECONDS", 0.5)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_holder_on_another_machine_holds_while_it_lives_and_no_longer(tmp_path: Path) -> None:
    with process(HOLD, tmp_path, "another machine") as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        for _ in range(3):  # longer than a lease lasts, in all
            refusal = pytest.raises(LockedError, match=f"LOCKED: the thing is being made by process {other.pid} on ")
            with refusal, hold_lock(tmp_path / "a.lock", "the thing"):
                pass
        assert find_owner(tmp_path / "a.lock")
        other.kill()
        other.wait()
        with hold_lock(tmp_path / "a.lock", "the thing"):
            pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_many_writers_on_two_machines_never_write_at_the_same_time(tmp_path: Path) -> None:
    """Each adds to a number by reading and writing it. One is killed while it holds the lock."""
    (tmp_path / "number").write_text("0")
    with ExitStack() as stack:
        # It is the first, for the others may end before a process that is started behind them holds the lock.
        killed = stack.enter_context(process(COUNT.replace("0.002", "1000"), tmp_path, "b"))
        wait_until(lambda: f"process {killed.pid} " in (find_owner(tmp_path / "a.lock") or ""), "it to hold the lock")
        writers = [stack.enter_context(process(COUNT, tmp_path, machine)) for machine in ("", "", "b", "b")]
        killed.kill()
        killed.wait()
        for writer in writers:
            assert writer.wait() == 0
    assert (tmp_path / "number").read_text() == "80"
    assert [path.name for path in tmp_path.iterdir()] == ["number"]


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_of_two_that_make_the_same_one_seals_and_the_other_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first stands still for longer than a lease, as a suspended machine does, and then goes on."""
    monkeypatch.setattr(leases, "_renew", lambda _: None)  # a machine that stands still renews nothing
    store = Store(tmp_path / "store")
    for item in plan(RECIPE):
        if isinstance(item, Corpus):
            store.make(item, lambda out, item=item: build(item, store, out))

    def make_slowly(out: Path) -> Facts:
        (out / "train-000000.tar").write_text("bytes")
        with monkeypatch.context() as elsewhere:  # the same store, seen from another machine
            elsewhere.setattr(holders, "this_machine", lambda: "another machine")
            other = Store(store.root)
            other.make(SHARDS_OF_VOICE, make)
        return SHARDS

    def make(out: Path) -> Facts:
        (out / "train-000000.tar").write_text("bytes")
        return SHARDS

    with pytest.raises(LockedError, match=r"LEASE_LOST: shards/.*run the same command again"):
        store.make(SHARDS_OF_VOICE, make_slowly)
    assert Store(store.root).is_complete(SHARDS_OF_VOICE)
    assert verify(store.path(SHARDS_OF_VOICE)) == []
    assert (store.path(SHARDS_OF_VOICE) / "train-000000.tar").read_text() == "bytes"
    assert store.make(SHARDS_OF_VOICE, make) == store.path(SHARDS_OF_VOICE)
