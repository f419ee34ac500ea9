"""The head of the system that a training goes on from: what of its weights is taken, and what begins anew.

What depends on the classes, such as the row of each training speaker, is found by making the head for one class more:
these are the tensors whose shapes change.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import JsonValue
from safetensors.torch import load_file
from torch import nn

from wavlm.errors import BadDataError, UsageError
from wavlm.evaluation.tasks.choose import make_task
from wavlm.evaluation.tasks.task import Recalls, Remembers, Size, Trainee
from wavlm.execution.finetune_job import FinetuneJob
from wavlm.finetune.data import TaskInStage
from wavlm.finetune.facts import HEAD_WEIGHTS_FILE, HeadFile, read_head_file
from wavlm.specs.finetune import FinetuneSpec
from wavlm.storage.files import sha256_of
from wavlm.storage.seals import check_sealed

Shapes = Mapping[str, tuple[int, ...]]

log = logging.getLogger(__name__)


def check_start(spec: FinetuneSpec, folder: Path) -> None:
    """Check what can be known before the data are read: that the head of the system in a folder is the spec's.

    Raises UsageError: SYSTEM_TASK for another task or head, SYSTEM_UNKNOWN for one that cannot be made again,
    HEAD_SHAPE for other widths.
    """
    about = read_head_file(folder)
    wanted, found = (spec.task.type, spec.head.type), (about.task.type, about.head.type)
    if wanted != found:
        raise UsageError(
            "SYSTEM_TASK",
            f"{about.name} is a system of the task {found[0]} with the head {found[1]}, {spec.name} of {wanted[0]} "
            f"with {wanted[1]}; at {folder}; go on from another one, or stand on its network alone: `model`, not "
            "`system`",
        )
    before = _shapes_in_use(spec, about, about.learned, folder)
    check_sealed(folder / HEAD_WEIGHTS_FILE)
    saved = {name: tuple(value.shape) for name, value in load_file(folder / HEAD_WEIGHTS_FILE).items()}
    if misfit := sorted(name for name in before.keys() | saved if before.get(name) != saved.get(name)):
        name = misfit[0]
        raise UsageError(
            "HEAD_SHAPE",
            f"{name} of {about.name} is {_say(saved.get(name))}, in {spec.name} {_say(before.get(name))}; at {folder}; "
            "give `head` the widths and layers, and the task the numbers, that the system has",
        )
    trained = [number for number, stage in enumerate(spec.stages, 1) if stage.frozen != "all"]
    if about.baseline is not None and trained:
        raise UsageError(
            "SYSTEM_TASK",
            f"{about.name} has no network that stage {trained[0]} of {spec.name} could train; at {folder}; give it "
            "`frozen: all`",
        )


def take_head(job: FinetuneJob, head: nn.Module, trainee: Trainee, size: Size) -> None:
    """Give a fresh head the weights of the system that the job goes on from, by their names.

    Raises BadDataError (CHECKSUM) for other weights than the job names.
    """
    if job.head is None:
        return
    path = job.head.folder / HEAD_WEIGHTS_FILE
    if (found := sha256_of(path)) != job.head.sha256:
        raise BadDataError(
            "CHECKSUM", f"found sha256 {found}, the job expects {job.head.sha256}; at {path}; make the system again"
        )
    anew = find_anew(job, trainee, size)
    if anew:
        log.warning("of %s begins anew, because the classes are others: %s", job.subject_name, ", ".join(anew))
    taken = {name: value for name, value in load_file(path).items() if name not in anew}
    head.load_state_dict({**head.state_dict(), **taken})


def find_anew(job: FinetuneJob, trainee: Trainee, size: Size) -> tuple[str, ...]:
    """The tensors of the head that are not those of the system that the job goes on from: its classes are others."""
    if job.head is None:
        return ()
    about = read_head_file(job.head.folder)
    learned: JsonValue = trainee.learned if isinstance(trainee, Remembers) else None
    if json.dumps(learned) == json.dumps(about.learned):
        return ()
    before, more = (
        _shapes_in_use(job.spec, about, known, job.head.folder) for known in (about.learned, _one_more(about.learned))
    )
    now = _shapes_of(trainee, size)
    return tuple(sorted(name for name in now if now[name] != before.get(name) or more.get(name) != before.get(name)))


def _shapes_in_use(spec: FinetuneSpec, about: HeadFile, learned: JsonValue, folder: Path) -> Shapes:
    """The shapes that the head of a spec has with these classes."""
    task = make_task(TaskInStage(spec.task, spec.head_in(0)))
    if not about.can_be_recalled or not isinstance(task, Recalls):
        raise UsageError(
            "SYSTEM_UNKNOWN",
            f"systems of the task {about.task.type} with the head {about.head.type} cannot be gone on from; at "
            f"{folder}; stand on its network alone: `model` in place of `system`",
        )
    return _shapes_of(task.recall(learned), Size(about.num_states, about.num_channels, about.hop_samples))


def _shapes_of(trainee: Trainee, size: Size) -> Shapes:
    with torch.random.fork_rng(devices=[]):
        return {name: tuple(value.shape) for name, value in trainee.make_head(size).state_dict().items()}


def _one_more(learned: JsonValue) -> JsonValue:
    """The classes of a head, and in each list of them one more."""
    if isinstance(learned, list):
        return [*learned, "\0"]
    return {name: _one_more(known) for name, known in learned.items()} if isinstance(learned, dict) else learned


def _say(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else str(shape)
