"""Weights at scores on the dev part, from which a stage takes what it leaves.

They are files beside the checkpoints: `candidates/stage0-000000120.safetensors`. What a restart from the oldest
checkpoint may ask for stays there; the rest goes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from wavlm.finetune.state import TuningProgress
from wavlm.finetune.step import StageRun
from wavlm.nn.files import save_tensors
from wavlm.storage.files import note_whole, remove_noted, require_whole

FOLDER = "candidates"


def note_candidate(run: StageRun, progress: TuningProgress, out: Path, oldest: int) -> None:
    """Write the weights after the last score of `progress` if the stage may leave them; delete what it will not.

    oldest: updates, of all stages, of the oldest checkpoint.
    """
    if run.spec.keep == "last":
        return
    is_wanted = progress.best == progress.points[-1]
    if run.spec.keep == "mean":
        is_wanted = progress.update > run.spec.updates - run.spec.mean_of * run.spec.dev_every
    if is_wanted:
        (out / FOLDER).mkdir(exist_ok=True)
        save_tensors(_trained(run), _path(out, run.number, progress.update), {})
        note_whole(_path(out, run.number, progress.update))
    if run.spec.keep == "best":
        begun = progress.updates - progress.update  # updates of the stages before
        _remove(out, run.number, _superseded(progress, oldest - begun))


def choose_weights(run: StageRun, progress: TuningProgress, out: Path) -> int | None:
    """Give the system the weights that the stage leaves. Returns their update; None if they are a mean.

    Without any score that is a number, they are the last ones.
    """
    if run.spec.keep == "mean":
        _load(run, _mean(_path(out, run.number, point.update) for point in progress.points[-run.spec.mean_of :]))
        return None
    best = progress.best
    if run.spec.keep == "best" and best is not None and best.update != progress.update:
        _load(run, _read(_path(out, run.number, best.update)))
        return best.update
    return progress.update


def remove_candidates(out: Path) -> None:
    """Remove all of them, when the system is written."""
    shutil.rmtree(out / FOLDER, ignore_errors=True)


def _superseded(progress: TuningProgress, oldest: int) -> list[int]:
    """Updates of weights that no restart from that update of the stage on can choose: a better one came before it."""
    bests: list[int] = []
    best: float | None = None
    for point in progress.points:
        if point.value is not None and (best is None or point.value > best):
            best = point.value
            bests.append(point.update)
    known = [update for update in bests if update <= oldest]
    return known[:-1]


def _trained(run: StageRun) -> dict[str, Tensor]:
    """What the stage changes: its parameters, and the statistics of norms."""
    parameters = {name for name, parameter in run.system.named_parameters() if not parameter.requires_grad}
    return {name: tensor for name, tensor in run.system.state_dict().items() if name not in parameters}


@torch.no_grad()
def _load(run: StageRun, weights: dict[str, Tensor]) -> None:
    state = run.system.state_dict()
    for name, tensor in weights.items():
        state[name].copy_(tensor)


def _mean(paths: Iterable[Path]) -> dict[str, Tensor]:
    """The mean of weights, summed in fp64; whole numbers are those of the last file."""
    total: dict[str, Tensor] = {}
    count = 0
    for path in paths:
        count += 1
        for name, tensor in _read(path).items():
            is_real = tensor.is_floating_point()
            total[name] = total[name] + tensor.double() if is_real and name in total else _widen(tensor)
    return {name: (tensor / count).float() if tensor.is_floating_point() else tensor for name, tensor in total.items()}


def _read(path: Path) -> dict[str, Tensor]:
    """Weights that were written by this attempt or an earlier one. Raises BadDataError if they are damaged."""
    require_whole(path, f"remove {path.parent.parent} and run again, from the start")
    found: dict[str, Tensor] = load_file(path)
    return found


def _widen(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _path(out: Path, stage: int, update: int) -> Path:
    return out / FOLDER / f"stage{stage}-{update:09d}.safetensors"


def _remove(out: Path, stage: int, updates: Iterable[int]) -> None:
    for update in updates:
        remove_noted(_path(out, stage, update))
