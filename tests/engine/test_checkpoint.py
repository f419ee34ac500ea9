"""Snapshots come back bit for bit, and damaged, foreign or missing ones are told apart."""

import errno
import os
import resource
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pydantic import JsonValue
from safetensors.torch import load_file, save_file
from torch import nn

from wavlm.engine import checkpoint
from wavlm.engine.checkpoint import CheckpointState, TrainingTensors
from wavlm.errors import BadDataError, CannotWriteError, UsageError

pytestmark = pytest.mark.numeric

FINGERPRINT: dict[str, JsonValue] = {"key": "abc", "num_clusters": 5}


def training(seed: int = 0, steps: int = 0) -> TrainingTensors:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, fused=True)
    made = TrainingTensors(network, network, optimizer)
    for _ in range(steps):
        step(made)
    return made


def step(made: TrainingTensors) -> None:
    x = torch.linspace(-1, 1, 6).view(2, 3)
    made.optimizer.zero_grad()
    torch.autograd.backward(made.network(x)[:, 0].square().sum())
    made.optimizer.step()


def save(folder: Path, made: TrainingTensors, update: int, keep: int = 2) -> Path:
    state = CheckpointState(update, {"update": update}, FINGERPRINT, {"torch": torch.__version__})
    return checkpoint.write(folder, checkpoint.tensors_of(made), state, keep)


def weights(made: TrainingTensors) -> list[bytes]:
    return [p.detach().numpy().tobytes() for p in made.network.parameters()]


def test_what_an_attempt_that_ended_had_not_removed_yet_is_removed_by_the_next(tmp_path: Path) -> None:
    """It may end between the new snapshot and the old one's removal. The next one finds the new one complete."""
    for update in (1, 2, 3):
        save(tmp_path, training(), update, keep=3)
    save(tmp_path, training(), 3, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000002", "step-000000003"]


def test_going_on_from_a_snapshot_gives_the_same_bits(tmp_path: Path) -> None:
    unbroken = training(steps=5)
    save(tmp_path, training(steps=3), 3)
    resumed = training(seed=1)
    saved = checkpoint.find_newest(tmp_path, FINGERPRINT)
    assert saved is not None
    assert checkpoint.load(saved, resumed) == {"update": 3}
    step(resumed)
    step(resumed)
    assert weights(resumed) == weights(unbroken)


def test_a_snapshot_before_the_first_update_can_be_taken(tmp_path: Path) -> None:
    made = training(steps=0)
    saved = save(tmp_path, made, 0)
    resumed = training(seed=1)
    checkpoint.load(saved, resumed)
    assert weights(resumed) == weights(made)


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for update in (1, 2, 10, 100):
        save(tmp_path, training(steps=1), update, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000010", "step-000000100"]


def test_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    one, other = (save(folder, training(steps=2), 2) for folder in folders)
    assert {p.name: p.read_bytes() for p in one.iterdir()} == {p.name: p.read_bytes() for p in other.iterdir()}


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("harm", ["flip", "truncate", "remove"])
def test_damage_to_the_newest_falls_back_to_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, harm: str
) -> None:
    save(tmp_path, training(steps=1), 1)
    damaged = save(tmp_path, training(steps=2), 2) / name
    content = bytearray(damaged.read_bytes())
    if harm == "flip":
        content[len(content) // 2] ^= 4
        damaged.write_bytes(content)
    elif harm == "truncate":
        damaged.write_bytes(content[:-1])
    else:
        damaged.unlink()
    found = checkpoint.find_newest(tmp_path, FINGERPRINT)
    assert found == tmp_path / "step-000000001"
    assert "step-000000002 is damaged" in caplog.text
    assert (tmp_path / "damaged-step-000000002").is_dir()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOMEM])
@pytest.mark.parametrize("name", ["read_json", "sha256_of"])
def test_what_cannot_be_read_now_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, name: str
) -> None:
    save(tmp_path, training(steps=1), 1)
    newest = save(tmp_path, training(steps=2), 2)

    def fail(_: Path) -> str:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as context:
        context.setattr(checkpoint, name, fail)
        with pytest.raises(OSError, match=rf"{os.strerror(number)}: .*step-000000002"):
            checkpoint.find_newest(tmp_path, FINGERPRINT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000001", "step-000000002"]
    assert checkpoint.find_newest(tmp_path, FINGERPRINT) == newest


@pytest.mark.parametrize("content", ["[]", "{", "3", '{"model.safetensors": 1}', "[" * 100_000], ids=len)
def test_a_manifest_that_is_none_counts_as_damage(tmp_path: Path, content: str) -> None:
    before = save(tmp_path, training(steps=1), 1)
    (save(tmp_path, training(steps=2), 2) / "manifest.json").write_text(content)
    assert checkpoint.find_newest(tmp_path, FINGERPRINT) == before


def test_manifest_that_lists_too_little_counts_as_damage(tmp_path: Path) -> None:
    save(tmp_path, training(steps=1), 1)
    newest = save(tmp_path, training(steps=2), 2)
    (newest / "manifest.json").write_text("{}")
    assert checkpoint.find_newest(tmp_path, FINGERPRINT) == tmp_path / "step-000000001"


def test_no_snapshot_at_all_means_a_fresh_start(tmp_path: Path) -> None:
    assert checkpoint.find_newest(tmp_path / "absent", FINGERPRINT) is None


def test_never_starts_from_zero_silently_when_all_are_damaged(tmp_path: Path) -> None:
    for update in (1, 2):
        (save(tmp_path, training(steps=1), update) / "manifest.json").unlink()
    for _ in range(2):  # the second attempt finds only what was put aside
        with pytest.raises(BadDataError, match="CKPT_NONE_VALID"):
            checkpoint.find_newest(tmp_path, FINGERPRINT)


def test_half_written_snapshot_is_not_seen_and_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".step-000000007.partial").mkdir()
    (tmp_path / ".step-000000007.partial" / "model.safetensors").write_bytes(b"half")
    assert checkpoint.find_newest(tmp_path, FINGERPRINT) is None
    (tmp_path / ".step-000000003.removed").mkdir()
    assert checkpoint.find_damage(save(tmp_path, training(steps=1), 7)) == ""
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000007"]


def test_snapshot_of_another_job_is_refused_with_what_differs(tmp_path: Path) -> None:
    save(tmp_path, training(steps=1), 1)
    with pytest.raises(UsageError, match=r"CKPT_FOREIGN.*key: found abc, expected other"):
        checkpoint.find_newest(tmp_path, {**FINGERPRINT, "key": "other"})


def test_what_differs_is_listed_by_name(tmp_path: Path) -> None:
    save(tmp_path, training(steps=1), 1)
    others = {f"{letter}-field": 1 for letter in "hgfedcba"}
    with pytest.raises(UsageError, match="; ".join(f"{name}: found None, expected 1" for name in sorted(others))):
        checkpoint.find_newest(tmp_path, {**FINGERPRINT, **others})


def test_full_disk_is_named_and_the_earlier_snapshot_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = save(tmp_path, training(steps=1), 1)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 90, 10))
    with pytest.raises(CannotWriteError, match=f"DISK_FULL.*10 free; at {tmp_path}"):
        save(tmp_path, training(steps=2), 2)
    assert checkpoint.find_newest(tmp_path, FINGERPRINT) == before


def test_write_that_fails_in_the_middle_is_named_and_the_earlier_snapshot_stays(
    tmp_path: Path,
) -> None:
    before = save(tmp_path, training(steps=1), 1)
    made = training(steps=2)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, limits[1]))
    try:
        with pytest.raises(CannotWriteError, match="DISK_FULL"):
            save(tmp_path, made, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert checkpoint.find_newest(tmp_path, FINGERPRINT) == before
    assert checkpoint.find_damage(save(tmp_path, made, 2)) == ""


def change_optimizer(saved: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Write other moments, with a digest that fits: what somebody copied there from another training."""
    path = saved / checkpoint.OPTIMIZER
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def exchange(tensors: dict[str, torch.Tensor]) -> None:
    for kind in ("exp_avg", "exp_avg_sq"):
        one, other = f"{kind}.0.weight", f"{kind}.0.bias"
        tensors[one], tensors[other] = tensors[other].clone(), tensors[one].clone()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (exchange, r"exp_avg\.0\.bias: found \(4, 3\), expected \(4,\)"),
        (lambda tensors: tensors.pop("exp_avg_sq.1.bias"), r"exp_avg_sq\.1\.bias: found none, expected \(4,\)"),
        (lambda tensors: tensors.pop("step.1.bias"), r"step\.1\.bias: found none, expected \(\)"),
        (lambda tensors: tensors.update({"exp_avg.9.bias": torch.zeros(4)}), r"exp_avg\.9\.bias: .* expected none"),
        (lambda tensors: tensors.update({"step.0.bias": torch.zeros(4)}), r"step\.0\.bias: found \(4,\), expected"),
    ],
)
def test_moments_of_another_network_are_refused_by_name_and_shape(
    change: Callable[[dict[str, torch.Tensor]], None], named: str, tmp_path: Path
) -> None:
    saved = save(tmp_path, training(steps=2), 2)
    change_optimizer(saved, change)
    made = training(seed=1, steps=1)
    before, moments = weights(made), made.optimizer.state_dict()["state"][0]["exp_avg"].clone()
    with pytest.raises(BadDataError, match=rf"CKPT_MISFIT: .*{named}.*at .*{checkpoint.OPTIMIZER}"):
        checkpoint.load(saved, made)
    assert weights(made) == before
    assert torch.equal(made.optimizer.state_dict()["state"][0]["exp_avg"], moments)


def test_weights_of_another_network_are_refused_by_name_and_shape(tmp_path: Path) -> None:
    saved = save(tmp_path, training(steps=2), 2)
    save_file({**load_file(saved / checkpoint.MODEL), "0.bias": torch.zeros(5)}, saved / checkpoint.MODEL)
    with pytest.raises(BadDataError, match=r"CKPT_MISFIT: 1 tensors .*0\.bias: found \(5,\), expected \(4,\)"):
        checkpoint.load(saved, training())


def test_moments_belong_to_their_parameter_whatever_the_order_of_the_optimizer(tmp_path: Path) -> None:
    """Optimizers that decay some parameters only have groups, and number the parameters by them."""
    saved = save(tmp_path, training(steps=3), 3)
    expected = training(steps=3)
    made = training(seed=1)
    groups = [{"params": list(reversed(list(made.network.parameters())))}]
    resumed = TrainingTensors(made.network, made.network, torch.optim.AdamW(groups, lr=0.1, fused=True))
    checkpoint.load(saved, resumed)
    step(resumed)
    step(expected)
    assert weights(resumed) == weights(expected)
