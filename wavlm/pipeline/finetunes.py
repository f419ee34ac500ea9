"""The job of a fine-tuning: a system's specs, and the folders of the store that it reads."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from pathlib import Path

from wavlm.execution.finetune_job import FinetuneJob, LabelledFolders
from wavlm.execution.job import StartWeights
from wavlm.execution.processes import num_cores
from wavlm.execution.runtime import Runtime
from wavlm.finetune.facts import HEAD_WEIGHTS_FILE, read_head_file
from wavlm.mixing.conversations.places import corpus_of, shards_of
from wavlm.nn.description import WEIGHTS_FILE
from wavlm.pipeline.artifacts import Artifact, Finetune, ImportedModel, Shards
from wavlm.pipeline.store import Store
from wavlm.pipeline.training_data import describe_beneath, describe_training, find_trained
from wavlm.specs.stages import FinetuneStage
from wavlm.storage.seals import sha256_as_sealed


def job_of_system(artifact: Finetune, store: Store, runtime: Runtime, out: Path) -> FinetuneJob:
    """The job that fills `out` with this system."""
    subject = artifact.subject
    start = head = baseline = None
    if isinstance(subject, Artifact):
        folder = store.path(subject)
        if is_system(subject):
            head = _weights(folder, HEAD_WEIGHTS_FILE)
            baseline = read_head_file(folder).baseline
        if baseline is None:
            start = _weights(folder, WEIGHTS_FILE)
    else:
        baseline = subject
    return FinetuneJob(
        key=artifact.key,
        out=out,
        spec=artifact.spec.model_copy(update={"baseline": baseline, "system": ""}),
        start=start,
        head=head,
        subject_name=artifact.subject_name,
        notes=tuple(filter(None, [describe_training(artifact, store), *describe_beneath(artifact)])),
        heard=find_trained(artifact, store),
        data=(*_folders(artifact.shards, store), *_simulated(artifact, store)),
        noise=_folders(artifact.noise, store),
        rooms=tuple(store.path(item) for item in artifact.rooms),
        runtime=with_ranks(runtime, artifact.spec.stages),
    )


def is_system(subject: Artifact) -> bool:
    """Whether an artifact has a head, as a system has it."""
    return isinstance(subject, Finetune) or (isinstance(subject, ImportedModel) and subject.spec.part == "system")


def _weights(folder: Path, name: str) -> StartWeights:
    return StartWeights(folder=folder, sha256=sha256_as_sealed(folder / name))


def with_ranks(runtime: Runtime, stages: Sequence[FinetuneStage]) -> Runtime:
    """The runtime with a number of CPU ranks: what was set, or what divides the micro-batches of all stages evenly."""
    if runtime.gpus or runtime.processes:
        return runtime
    micro_batches = gcd(*(stage.micro_batches_per_update for stage in stages))
    most = max(count for count in range(1, num_cores() + 1) if micro_batches % count == 0)
    return runtime.model_copy(update={"processes": most})


def _simulated(artifact: Finetune, store: Store) -> tuple[LabelledFolders, ...]:
    if artifact.simulation is None:
        return ()
    folder = store.path(artifact.simulation)
    return (LabelledFolders(name=artifact.simulation.name, corpus=corpus_of(folder), shards=shards_of(folder)),)


def _folders(shards: Sequence[Shards], store: Store) -> tuple[LabelledFolders, ...]:
    return tuple(
        LabelledFolders(name=item.name, corpus=store.path(item.corpus), shards=store.path(item)) for item in shards
    )
