"""Two ranks, with whole networks (DDP) or split ones (FSDP2), do what one does, and stop as one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.numerics import relative_tolerance
from tests.train import fakes, pair
from wavlm.engine import checkpoint
from wavlm.engine.ranks import Ranks
from wavlm.execution import metrics
from wavlm.execution.stop import StopRequest
from wavlm.train.loop import train

pytestmark = [pytest.mark.numeric, pytest.mark.slow]

# Ranks add the gradients of an update's four groups in another order: three additions, six times.
TOLERANCE = relative_tolerance(3 * 6)
OTHERS = {"one-contrast": fakes.contrastive_job, "one-streams": fakes.streams_job}
SPLIT = ("fsdp", "fsdp-recomputing", "ddp-then-fsdp", "fsdp-then-ddp")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process made, in `one`, and two, each way in a folder of its own."""
    folder = tmp_path_factory.mktemp("pair")
    ranks = pair.start("tests.train.pair", folder)
    torch.set_num_threads(1)
    alone = Ranks(0, 1, torch.device("cpu"))
    for job in (fakes.job(folder / "one"), *(make(folder / name) for name, make in OTHERS.items())):
        job.out.mkdir()
        with StopRequest() as stop:
            train(job, fakes.data(job, alone), alone, stop)
    said = [rank.communicate() for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], said
    return folder


def curve(folder: Path) -> list[metrics.MetricsRecord]:
    return [
        {name: value for name, value in record.items() if name not in metrics.TIMED}
        for record in metrics.read(folder / "metrics.jsonl")
    ]


@pytest.mark.parametrize(
    ("way", "alone"),
    [
        *((way, "one") for way in ("ddp", *SPLIT)),
        ("contrast-fsdp", "one-contrast"),
        ("streams-fsdp", "one-streams"),
    ],
)
def test_losses_and_weights_are_those_of_one_process(out: Path, way: str, alone: str) -> None:
    for ours, theirs in zip(curve(out / way), curve(out / alone), strict=True):
        assert ours == pytest.approx(theirs, rel=TOLERANCE)
    one, other = (load_file(out / name / "model.safetensors") for name in (alone, way))
    assert one.keys() == other.keys()
    for name, weight in one.items():
        torch.testing.assert_close(other[name], weight, rtol=TOLERANCE, atol=TOLERANCE, msg=name)


@pytest.mark.parametrize("way", SPLIT)
def test_snapshots_of_a_split_network_are_like_any_other(out: Path, way: str) -> None:
    one, other = (
        {
            f"{file} {name}": tensor
            for file in ("model", "optimizer")
            for name, tensor in load_file(newest / f"{file}.safetensors").items()
        }
        for newest in (checkpoint.list_checkpoints(out / name / "snapshots")[0] for name in ("one", way))
    )
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=TOLERANCE, atol=TOLERANCE, msg=name)


@pytest.mark.parametrize("way", ["ddp-then-fsdp", "fsdp-then-ddp"])
def test_a_stop_asked_of_one_rank_stopped_both(out: Path, way: str) -> None:
    for rank in range(2):
        assert "StoppedError STOPPED: stopped on request after update 4" in note(out / way, rank)


def test_ranks_whose_clocks_differ_save_after_the_same_updates(out: Path) -> None:
    found = [path.name[-1] for path in checkpoint.list_checkpoints(out / "two-clocks" / "snapshots")]
    assert found == ["6", "5", "4", "3", "2", "1"]
    assert curve(out / "two-clocks") == curve(out / "ddp")


def test_a_disk_that_is_full_ends_both_ranks_with_that_error(out: Path) -> None:
    for rank in range(2):
        assert note(out / "full-disk", rank).startswith("CannotWriteError DISK_FULL")
    assert checkpoint.list_checkpoints(out / "full-disk" / "snapshots") == []


def test_a_disk_slower_than_a_collective_may_be_ends_no_training(out: Path) -> None:
    assert curve(out / "slow-disk") == curve(out / "ddp")


def note(folder: Path, rank: int) -> str:
    return (folder / f"rank-{rank}.txt").read_text()
