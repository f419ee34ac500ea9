"""The trainer's job file: a model's specs, and the folders of the store that it reads."""

from __future__ import annotations

from pathlib import Path

from wavlm.execution.job import LabelledShards, TrainJob
from wavlm.execution.processes import num_cores
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Model
from wavlm.pipeline.store import Store
from wavlm.specs import StartSpec


def job_of(artifact: Model, store: Store, runtime: Runtime, out: Path) -> TrainJob:
    """The job that fills `out` with this model."""
    codebook = artifact.labels[0].codebook.spec
    return TrainJob(
        key=artifact.key,
        out=out,
        network=artifact.network,
        train=artifact.train,
        num_clusters=codebook.num_clusters,
        data=tuple(
            LabelledShards(shards=store.path(item.shards), labels=store.path(item), corpus=item.shards.corpus.name)
            for item in artifact.labels
        ),
        mix=artifact.mix,
        noise=tuple(store.path(item) for item in artifact.noise),
        rooms=tuple(store.path(item) for item in artifact.rooms),
        mixtures=store.path(artifact.mixtures) if artifact.mixtures else None,
        start=artifact.start and _absolute(artifact.start),
        runtime=with_processes(runtime, artifact.train.micro_batches_per_update),
    )


def with_processes(runtime: Runtime, micro_batches: int) -> Runtime:
    """The runtime with a number of CPU ranks: what was set, or what divides an update's micro-batches evenly.

    Where utterances are few, many ranks of one thread are far faster than one rank of many threads.
    """
    if runtime.gpus or runtime.processes:
        return runtime
    most = max(count for count in range(1, num_cores() + 1) if micro_batches % count == 0)
    return runtime.model_copy(update={"processes": most})


def _absolute(start: StartSpec) -> StartSpec:
    return start.model_copy(update={"folder": str(Path(start.folder).absolute())})
