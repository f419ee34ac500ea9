"""The table from the spec of a task to its code."""

from __future__ import annotations

from typing import Protocol

from wavlm.evaluation.tasks.task import Task
from wavlm.specs.heads import HeadSpec
from wavlm.specs.tasks import TaskSpec


class TaskWithHead(Protocol):
    """The spec of an evaluation or of a fine-tuning."""

    @property
    def task(self) -> TaskSpec: ...

    @property
    def head(self) -> HeadSpec: ...


def make_task(spec: TaskWithHead) -> Task:
    """The task of an evaluation or a fine-tuning, with its head. Each module is imported only where it is used."""
    task, head = spec.task, spec.head
    if head.type == "pooled_linear" and task.type in ("ks", "sid", "ic", "er"):
        from wavlm.evaluation.tasks.classification import Classification

        return Classification(task, head)
    if task.type in ("pr", "asr", "ood_asr", "sf") and head.type in ("frame_linear", "blstm", "ctc"):
        from wavlm.evaluation.tasks.recognition import Recognition

        return Recognition(task, head)
    if task.type in ("asv", "qbe", "sd"):
        return _make_of_pairs(task, head)
    if task.type in ("se", "ss", "st", "vc"):
        return _make_generation(task, head)
    raise AssertionError(f"{task.type} with the head {head.type}")  # the spec was checked


def _make_of_pairs(task: TaskSpec, head: HeadSpec) -> Task:
    """A task about pairs of recordings, or turns."""
    if task.type == "asv" and head.type in ("xvector", "ecapa"):
        from wavlm.evaluation.tasks.verification import Verification

        return Verification(task, head)
    if task.type == "sd" and head.type in ("diarizer", "eend_eda", "sc_eend", "eend_vc", "eend_gla"):
        from wavlm.evaluation.tasks.diarization import Diarization

        return Diarization(task, head)
    assert task.type == "qbe"  # noqa: S101 - the spec was checked
    from wavlm.evaluation.tasks.query import SpokenQuery

    return SpokenQuery(task)


def _make_generation(task: TaskSpec, head: HeadSpec) -> Task:
    """A task that makes audio or text."""
    if (task.type in ("se", "ss") and head.type == "mask") or (task.type == "ss" and head.type == "conformer"):
        from wavlm.evaluation.tasks.masking import Masking

        return Masking(task, head)
    if task.type == "st" and head.type == "translator":
        from wavlm.evaluation.tasks.translation import Translation

        return Translation(task, head)
    assert task.type == "vc"  # noqa: S101 - the spec was checked
    assert head.type == "converter"  # noqa: S101 - the spec was checked
    from wavlm.evaluation.tasks.conversion import Conversion

    return Conversion(task, head)
