"""The job of a fine-tuning: a system's specs, and the folders of the store that it reads."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from pathlib import Path

from wavlm.execution.finetune_job import FinetuneJob, LabelledFolders
from wavlm.execution.job import StartWeights
from wavlm.execution.processes import num_cores
from wavlm.execution.runtime import Runtime
from wavlm.nn.description import WEIGHTS_FILE
from wavlm.pipeline.artifacts import Artifact, Finetune, Shards
from wavlm.pipeline.store import Store
from wavlm.specs.stages import FinetuneStage
from wavlm.storage.seals import sha256_as_sealed


def job_of_system(artifact: Finetune, store: Store, runtime: Runtime, out: Path) -> FinetuneJob:
    """The job that fills `out` with this system."""
    subject, spec, start = artifact.subject, artifact.spec, None
    if isinstance(subject, Artifact):
        folder = store.path(subject)
        start = StartWeights(folder=folder, sha256=sha256_as_sealed(folder / WEIGHTS_FILE))
        spec = spec.model_copy(update={"baseline": None})
    else:
        spec = spec.model_copy(update={"baseline": subject})
    return FinetuneJob(
        key=artifact.key,
        out=out,
        spec=spec,
        start=start,
        subject_name=artifact.subject_name,
        data=_folders(artifact.shards, store),
        noise=_folders(artifact.noise, store),
        rooms=tuple(store.path(item) for item in artifact.rooms),
        runtime=with_ranks(runtime, spec.stages),
    )


def with_ranks(runtime: Runtime, stages: Sequence[FinetuneStage]) -> Runtime:
    """The runtime with a number of CPU ranks: what was set, or what divides the micro-batches of all stages evenly."""
    if runtime.gpus or runtime.processes:
        return runtime
    micro_batches = gcd(*(stage.micro_batches_per_update for stage in stages))
    most = max(count for count in range(1, num_cores() + 1) if micro_batches % count == 0)
    return runtime.model_copy(update={"processes": most})


def _folders(shards: Sequence[Shards], store: Store) -> tuple[LabelledFolders, ...]:
    return tuple(
        LabelledFolders(name=item.name, corpus=store.path(item.corpus), shards=store.path(item)) for item in shards
    )
