"""Snapshots are of the moment they were asked for, and nothing that goes wrong with one is lost."""

import logging
import resource
import threading
from collections.abc import ItemsView, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.train import fakes
from wavlm.engine import checkpoint
from wavlm.engine.checkpoint import CheckpointState, TrainingTensors
from wavlm.engine.checkpoint_writer import BLOCK_BYTES, CheckpointWriter
from wavlm.engine.interrupts import watchdog
from wavlm.engine.ranks import Ranks
from wavlm.errors import BadDataError, CannotWriteError
from wavlm.execution.stop import StopRequest
from wavlm.train.loop import train

pytestmark = pytest.mark.numeric

ALONE = Ranks(0, 1, torch.device("cpu"))


class SlowDict(dict[str, str]):
    """Takes its time to be written."""

    def __init__(self, *content: object, written: threading.Event | None = None) -> None:
        super().__init__(*content)
        self.written = written

    def items(self) -> ItemsView[str, str]:
        if self.written:
            assert self.written.wait(30)
        return super().items()


@contextmanager
def open_writer(folder: Path, stop: StopRequest | None = None) -> Iterator[CheckpointWriter]:
    with watchdog() as dog, CheckpointWriter(folder, 9, ALONE, (stop or StopRequest(), dog)) as made:
        yield made


def training(*sizes: int) -> TrainingTensors:
    torch.manual_seed(0)
    network = nn.Sequential(*(nn.Linear(size, size) for size in sizes or (3,)))
    return TrainingTensors(network, network, torch.optim.AdamW(network.parameters(), lr=0.1, fused=True))


def step(made: TrainingTensors) -> None:
    for parameter in made.network.parameters():
        parameter.grad = torch.ones_like(parameter)
    made.optimizer.step()


def state(update: int, written: threading.Event | None = None) -> CheckpointState:
    return CheckpointState(update, {"update": update}, {}, SlowDict(written=written))


def weights(made: TrainingTensors) -> list[bytes]:
    moments = [made.optimizer.state.get(p, {}) for p in made.network.parameters()]
    tensors = [*made.network.parameters(), *(t for kinds in moments for t in kinds.values())]
    return [tensor.detach().numpy().tobytes() for tensor in tensors]


def load_weights(saved: Path, *sizes: int) -> list[bytes]:
    made = training(*sizes)
    checkpoint.load(saved, made)
    return weights(made)


def test_snapshot_is_of_the_moment_it_was_asked_for(tmp_path: Path) -> None:
    made, before = training(), {}
    with open_writer(tmp_path) as saves:
        for update in (1, 2, 3):
            written = threading.Event()
            before[update] = weights(made)
            saves.save(made, state(update, written))
            step(made)  # while the snapshot is being written
            assert f"step-{update:09d}" not in [path.name for path in tmp_path.iterdir()]
            written.set()
        saves.finish()
    for update, expected in before.items():
        saved = tmp_path / f"step-{update:09d}"
        assert checkpoint.find_damage(saved) == ""
        assert load_weights(saved) == expected


def test_the_thread_that_writes_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacks that are printed when a training hangs show it."""
    names: list[str] = []

    def write(*_: object, **__: object) -> Path:
        names.append(threading.current_thread().name)
        return tmp_path

    monkeypatch.setattr(checkpoint, "write", write)
    made = training()
    with open_writer(tmp_path) as writer:
        writer.save(made, state(1))
    assert names == ["checkpoint_0"]


def test_tensors_larger_than_a_block_of_the_copy_come_back_too(tmp_path: Path) -> None:
    large = int((BLOCK_BYTES / 4) ** 0.5) + 1
    made = training(3, large, 5)
    step(made)
    with open_writer(tmp_path) as saves:
        saves.save(made, state(1))
        saves.finish()
    assert load_weights(tmp_path / "step-000000001", 3, large, 5) == weights(made)


def test_next_snapshot_waits_for_the_one_under_way_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made, written = training(), threading.Event()
    with open_writer(tmp_path) as saves, caplog.at_level(logging.WARNING):
        saves.save(made, state(1, written))
        threading.Timer(1.1, written.set).start()
        saves.save(made, state(2))
        assert checkpoint.list_checkpoints(tmp_path)[-1].name == "step-000000001"
        saves.finish()
    assert "checkpoint of update 2 waited 1." in caplog.text
    assert len(checkpoint.list_checkpoints(tmp_path)) == 2


def test_what_went_wrong_asks_for_a_stop_and_is_raised_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    stop, made = StopRequest(), training()
    with open_writer(tmp_path / "file" / "folder", stop) as saves:
        saves.save(made, state(1))
        with pytest.raises(NotADirectoryError):
            saves.save(made, state(2))
        assert stop.requested
        saves.finish()


def test_what_went_wrong_last_is_raised_when_all_is_over(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError), open_writer(tmp_path / "file" / "folder") as saves:
        saves.save(training(), state(1))


def test_an_error_of_the_training_hides_none_of_the_snapshot(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()

    def fail() -> None:
        with open_writer(tmp_path / "file" / "folder") as saves:
            saves.save(training(), state(1))
            raise BadDataError("NOT_FINITE", "update 2")

    with pytest.raises(BadDataError, match="NOT_FINITE"):
        fail()
    assert "a checkpoint could not be written either: [Errno 20] Not a directory" in caplog.text


def test_training_ends_with_the_error_before_another_update(tmp_path: Path) -> None:
    job = fakes.job(tmp_path / "out", train={"updates": 40}, snapshot_every=1)
    job.out.mkdir()
    groups = 0

    def count(batch: fakes.PackedBatch) -> fakes.PackedBatch:
        nonlocal groups
        groups += batch.position.epoch >= 0
        if groups == 4 * job.train.micro_batches_per_update:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
        return batch

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with StopRequest() as stop, pytest.raises(CannotWriteError, match="DISK_FULL") as raised:
            train(job, fakes.data(job, ALONE, count), ALONE, stop)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.code == "DISK_FULL"
    assert groups <= 5 * job.train.micro_batches_per_update
    newest = checkpoint.list_checkpoints(job.out / "snapshots")[0]
    assert newest.name in {"step-000000002", "step-000000003"}  # the third may be under way
    assert checkpoint.find_damage(newest) == ""
