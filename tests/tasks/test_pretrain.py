"""What the trainer says on its way out becomes an error that people act on; an earlier one is waited for."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tasks import pretrain
from tasks.orchestration import trainer
from tasks.orchestration.trainer import failure
from tasks.pretrain import Peer, _train
from tests.train import fakes
from wavlm.errors import BadDataError, CannotWriteError, LockedError, StoppedError, WorkerDiedError
from wavlm.execution.exit_note import ExitNote, write_exit_note
from wavlm.execution.job import TRAIN_LOCK
from wavlm.execution.runtime import Runtime
from wavlm.storage.locks import hold_lock


def test_the_trainer_of_a_caller_that_was_killed_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = fakes.job(tmp_path / "out", processes=1)
    earlier = ExitStack()
    earlier.enter_context(hold_lock(job.out / TRAIN_LOCK, "the model"))

    def start(*_: object) -> ExitNote:
        return ExitNote(exit_code=65, message="JOB: it was started; here; now")

    monkeypatch.setattr(trainer, "run_trainer", start)
    monkeypatch.setattr(trainer._log, "info", lambda *_: earlier.close())
    with pytest.raises(BadDataError, match="it was started"):
        _train(job, lambda _: None)


def test_a_trainer_that_does_not_leave_is_told_as_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = fakes.job(tmp_path / "out", processes=1)
    monkeypatch.setattr(trainer, "STOP_SECONDS", 0.1)
    with hold_lock(job.out / TRAIN_LOCK, "the model"), pytest.raises(LockedError, match=r"process \d+ on .*wait"):
        _train(job, lambda _: None)
    assert not (job.out / "snapshots").exists()


@pytest.mark.parametrize(
    ("code", "message", "kind", "text"),
    [
        (73, "DISK_FULL: no space; at x; free it", CannotWriteError, "DISK_FULL: no space"),
        (75, "", StoppedError, "STOPPED: "),
        (137, "", WorkerDiedError, "WORKER_DIED: a training process was ended by SIGKILL.*train.log; run again"),
        (139, "", WorkerDiedError, "WORKER_DIED: .*SIGSEGV"),
        (1, "", RuntimeError, "ended with code 1"),
    ],
)
def test_each_way_to_end_has_its_error(code: int, message: str, kind: type, text: str, tmp_path: Path) -> None:
    """Also where the disk took no last words: neither exit.json nor a log."""
    error = failure(ExitNote(exit_code=code, message=message), tmp_path)
    assert type(error) is kind
    with pytest.raises(kind, match=text):
        raise error


def peer(monkeypatch: pytest.MonkeyPatch, ends: list[ExitNote | None], **runtime: object) -> tuple[Peer, list[Path]]:
    """A machine beside the head, and the folders in which it took a place, each of which ended like this."""
    joined = list[Path]()

    def join(out: Path) -> ExitNote | None:
        joined.append(out)
        return ends[len(joined) - 1]

    monkeypatch.setattr(pretrain, "join_training", join)
    return Peer(Runtime(**{"nodes": 2, **runtime})), joined


def test_a_machine_that_finds_the_model_being_trained_takes_a_place_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    well = ExitNote(exit_code=0, message="")
    beside, joined = peer(monkeypatch, [None, well])
    beside.join(tmp_path)
    beside.join(tmp_path)
    assert joined == [tmp_path] * 2
    beside.refuse_failed(tmp_path)  # if it gets the lock now, nothing was wrong


def test_a_machine_does_not_begin_again_what_has_just_failed_on_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = ExitNote(exit_code=75, message="RANK_LOST: x; y; z")
    beside, _ = peer(monkeypatch, [lost])
    beside.join(tmp_path)  # the head may begin another attempt
    write_exit_note(tmp_path, ExitNote(exit_code=65, message="NOT_FINITE: x; y; z"))
    with pytest.raises(BadDataError, match="NOT_FINITE"):
        beside.refuse_failed(tmp_path)


def test_a_machine_that_was_stopped_with_the_others_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside, _ = peer(monkeypatch, [ExitNote(exit_code=75, message="STOPPED: x; y; z")])
    with pytest.raises(StoppedError, match="STOPPED"):
        beside.join(tmp_path)


@pytest.mark.parametrize("runtime", [{"nodes": 1}, {"launcher": "srun --ntasks-per-node=1"}])
def test_a_launcher_needs_nobody_who_joins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: dict[str, object]
) -> None:
    beside, joined = peer(monkeypatch, [], **runtime)
    beside.join(tmp_path)
    assert not joined
