"""Training checkpoints on disk: one folder per checkpoint, complete or absent, verified by sha256 before use.

    snapshots/step-000000123/model.safetensors      weights
                             optimizer.safetensors  the optimizer's moments, and Adam's step count
                             state.json             progress of the training, and which job it is
                             manifest.json          sha256 of the three, written last

No checkpoint overwrites another. Nothing in it is pickled. Its tensors are not split, even if they were split
over ranks in memory, so a training can resume with any number of ranks.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from wavlm.engine.sharding import split_like
from wavlm.errors import BadDataError, CannotWriteError, UsageError
from wavlm.storage.files import atomic_path, read_json, sha256_of, sync, write_json

log = logging.getLogger(__name__)

FORMAT = 1
MODEL, OPTIMIZER, STATE, MANIFEST = "model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"
MARGIN_BYTES = 16 << 20  # free space required on top of the tensors
STEP = "step"
STATE_TENSORS = (STEP, "exp_avg", "exp_avg_sq")  # of Adam and AdamW, per parameter
MOMENTUM = ("momentum_buffer",)  # of SGD
MAX_SHOWN = 5  # tensors that one message names

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class CheckpointState:
    """Content of state.json."""

    update: int  # finished updates
    progress: JsonValue  # as the training loop wants it back
    fingerprint: Mapping[str, JsonValue]  # of the job: a checkpoint of another job is refused
    versions: Mapping[str, str]  # of torch and Python, for people
    curve: str = ""  # the training curve so far, so that a resumed training need not trust the file beside it


@dataclass(frozen=True)
class TrainingTensors:
    """The network and the optimizer, whose tensors training changes."""

    network: nn.Module
    module: nn.Module  # what training calls: the network itself, or its wrapper for several ranks
    optimizer: torch.optim.Optimizer


def tensors_of(training: TrainingTensors) -> dict[str, Tensors]:
    """The tensors by the file that they belong in. They are not copied."""
    state = training.optimizer.state
    moments = {
        f"{kind}.{name}": state[parameter][kind]
        for name, parameter in training.network.named_parameters()
        if state.get(parameter)
        for kind in _kinds_of(training.optimizer)
    }
    return {MODEL: training.network.state_dict(), OPTIMIZER: moments}


def write(folder: Path, files: Mapping[str, Tensors], state: CheckpointState, keep: int) -> Path:
    """Write the checkpoint of an update, then remove all but the `keep` newest. Returns its folder.

    files: as from `tensors_of`, not split and in the CPU's memory.
    Raises CannotWriteError if the disk is full; earlier checkpoints stay as they are.
    """
    folder.mkdir(exist_ok=True)
    final = folder / f"step-{state.update:09d}"
    if not final.exists():  # the same update of the same job has the same bytes
        _write_new(final, files, state)
    for old in list_checkpoints(folder)[keep:]:  # an attempt may have ended before it removed them
        _remove(old)
    return final


def _write_new(final: Path, files: Mapping[str, Tensors], state: CheckpointState) -> None:
    folder = final.parent
    for leftover in folder.glob(".step-*"):
        shutil.rmtree(leftover)
    partial = folder / f".{final.name}.partial"
    _require_space(folder, [tensor for tensors in files.values() for tensor in tensors.values()])
    with _explain_disk_full(partial):
        partial.mkdir()
        for name, tensors in files.items():
            _write(tensors, partial / name)
        write_json(partial / STATE, {"format": FORMAT, **asdict(state)})
        names = (MODEL, OPTIMIZER, STATE)
        write_json(partial / MANIFEST, {name: sha256_of(partial / name) for name in names})
        partial.rename(final)
        sync(folder)


def find_newest(folder: Path, fingerprint: Mapping[str, JsonValue]) -> Path | None:
    """The newest undamaged checkpoint; None if there never was one.

    Damaged ones are renamed to `damaged-...`, and the one before is taken. One that cannot be read now, as of a disk
    that fails or with no file descriptor left, is not called damaged: OSError.
    Raises BadDataError if all of them are damaged, and UsageError if the newest undamaged one is of another job.
    """
    found = list_checkpoints(folder)
    for checkpoint in found:
        if not (reason := find_damage(checkpoint)):
            _require_same_job(checkpoint, fingerprint)
            return checkpoint
        log.warning("checkpoint %s is damaged (%s): renamed to damaged-...", checkpoint, reason)
        checkpoint.rename(_free_name(folder, f"damaged-{checkpoint.name}"))
    if found or any(folder.glob("damaged-*")):
        raise BadDataError(
            "CKPT_NONE_VALID",
            f"all checkpoints are damaged; at {folder}; restore one from a backup, "
            "or remove the folder to train from the start",
        )
    return None


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, newest first."""
    return sorted(folder.glob("step-*"), reverse=True)


def find_damage(checkpoint: Path) -> str:
    """What is wrong with the files of a checkpoint; empty if nothing is.

    Raises OSError if they cannot be read now, of which nobody knows whether they are damaged.
    """
    try:
        manifest = read_json(checkpoint / MANIFEST)
        if not isinstance(manifest, dict) or set(manifest) != {MODEL, OPTIMIZER, STATE}:
            return f"{MANIFEST} does not list {MODEL}, {OPTIMIZER} and {STATE}"
        wrong = [name for name, digest in manifest.items() if sha256_of(checkpoint / name) != digest]
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError) as error:
        return str(error)
    except OSError as error:
        error.filename = error.filename or str(checkpoint)  # reading names no file, only opening does
        raise
    return f"sha256 differs: {', '.join(wrong)}" if wrong else ""


def load(checkpoint: Path, training: TrainingTensors) -> JsonValue:
    """Load a checkpoint into the network and the optimizer; returns the progress that was saved with it.

    Of tensors that are split over ranks each rank keeps its part.
    Raises BadDataError (CKPT_MISFIT) if names or shapes are not those of this network, and then changes nothing.
    """
    network, optimizer, kinds = training.network, training.optimizer, _kinds_of(training.optimizer)
    patterns = network.state_dict()
    parameters = dict(network.named_parameters())
    with safe_open(checkpoint / MODEL, "pt") as model, safe_open(checkpoint / OPTIMIZER, "pt") as moments:
        _require_fit(checkpoint / MODEL, _shapes_of(model), {name: tensor.shape for name, tensor in patterns.items()})
        _require_fit(checkpoint / OPTIMIZER, found := _shapes_of(moments), _moments_for(found, parameters, kinds))
        weights = {name: split_like(model.get_tensor(name), pattern) for name, pattern in patterns.items()}
        states = {
            parameter: {kind: _split_moment(moments.get_tensor(f"{kind}.{name}"), parameter) for kind in kinds}
            for name, parameter in parameters.items()
            if f"{kinds[0]}.{name}" in found
        }
    network.load_state_dict(weights)
    # torch numbers the parameters in the order of the optimizer's groups, which need not be that of the network.
    order = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbered = {number: states[parameter] for number, parameter in enumerate(order) if parameter in states}
    optimizer.load_state_dict({"state": numbered, "param_groups": optimizer.state_dict()["param_groups"]})
    return read_progress(checkpoint)


def _shapes_of(file: Any) -> dict[str, torch.Size]:
    """Names and shapes in an open safetensors file. No tensor is read."""
    return {name: torch.Size(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - not a dict


def _moments_for(found: Collection[str], parameters: Tensors, kinds: Sequence[str]) -> dict[str, torch.Size]:
    """The moments that there have to be: all or none of each parameter. Before its first step it has none."""
    begun = {name for name in parameters if any(f"{kind}.{name}" in found for kind in kinds)}
    return {
        f"{kind}.{name}": torch.Size() if kind == STEP else parameters[name].shape for name in begun for kind in kinds
    }


def _kinds_of(optimizer: torch.optim.Optimizer) -> tuple[str, ...]:
    """What the optimizer keeps of each parameter."""
    return MOMENTUM if isinstance(optimizer, torch.optim.SGD) else STATE_TENSORS


def _require_fit(path: Path, found: Mapping[str, torch.Size], expected: Mapping[str, torch.Size]) -> None:
    """Raise BadDataError (CKPT_MISFIT) unless names and shapes are the expected ones."""
    wrong = [
        f"{name}: found {tuple(found[name]) if name in found else 'none'}, "
        f"expected {tuple(expected[name]) if name in expected else 'none'}"
        for name in sorted({*found, *expected})
        if found.get(name) != expected.get(name)
    ]
    if wrong:
        raise BadDataError(
            "CKPT_MISFIT",
            f"{len(wrong)} tensors of a checkpoint do not fit the network ({'; '.join(wrong[:MAX_SHOWN])}); at {path}; "
            "restore the checkpoint of this training, or remove it to go on from the one before",
        )


def read_progress(checkpoint: Path) -> JsonValue:
    """The progress that was saved with a checkpoint. No tensor is read."""
    progress: JsonValue = read_json(checkpoint / STATE)["progress"]
    return progress


def read_curve(checkpoint: Path) -> str | None:
    """The training curve that was saved with a checkpoint; None if an earlier version wrote it."""
    curve: str | None = read_json(checkpoint / STATE).get("curve")
    return curve


def _split_moment(tensor: Tensor, parameter: Tensor) -> Tensor:
    """This rank's part of a moment, which is split like its parameter. The step count, a scalar, is not split."""
    return split_like(tensor, parameter) if tensor.shape == parameter.shape else tensor


def _require_same_job(checkpoint: Path, fingerprint: Mapping[str, JsonValue]) -> None:
    state = read_json(checkpoint / STATE)
    if state.get("format") != FORMAT:
        raise UsageError(
            "CKPT_FORMAT",
            f"the checkpoint has format {state.get('format')}, expected {FORMAT}; at {checkpoint}; "
            "go on with the version that wrote it, or train from the start in another folder",
        )
    found = state["fingerprint"]
    differing = [
        f"{name}: found {found.get(name)}, expected {fingerprint.get(name)}"
        for name in sorted({*found, *fingerprint})
        if found.get(name) != fingerprint.get(name)
    ]
    if differing:
        raise UsageError(
            "CKPT_FOREIGN",
            f"the checkpoint belongs to another job ({'; '.join(differing)}); at {checkpoint}; "
            "train this job in another folder",
        )


def _write(tensors: Tensors, path: Path) -> None:
    with atomic_path(path) as temporary:
        save_file(dict(tensors), temporary)


def _require_space(folder: Path, tensors: list[Tensor]) -> None:
    needed_bytes = sum(tensor.nbytes for tensor in tensors) + MARGIN_BYTES
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise _disk_full(f"{needed_bytes} bytes are needed and {free_bytes} free", folder)


def _disk_full(what: str, where: Path) -> CannotWriteError:
    return CannotWriteError(
        "DISK_FULL",
        f"no space for a checkpoint: {what}; at {where}; free space and run again (earlier checkpoints are complete)",
    )


@contextmanager
def _explain_disk_full(partial: Path) -> Iterator[None]:
    """Turn the error that safetensors raises for a full disk into CannotWriteError."""
    try:
        yield
    except SafetensorError as error:
        raise _disk_full(str(error), partial) from error


def _remove(checkpoint: Path) -> None:
    """Rename it first, so that a checkpoint that is removed in part is never taken for a complete one."""
    renamed = checkpoint.with_name(f".{checkpoint.name}.removed")
    checkpoint.rename(renamed)
    shutil.rmtree(renamed)


def _free_name(folder: Path, name: str) -> Path:
    """The name, or with -1, -2, ... the first that is not taken."""
    numbers = (f"-{number}" if number else "" for number in range(len(list(folder.iterdir())) + 1))
    return next(path for number in numbers if not (path := folder / f"{name}{number}").exists())
