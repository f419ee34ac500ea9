"""The trainer's job file: a model's specs, and the folders of the store that it reads."""

from __future__ import annotations

from pathlib import Path

from wavlm.execution.job import LabelledShards, StartWeights, TrainJob
from wavlm.execution.processes import num_cores
from wavlm.execution.runtime import Runtime
from wavlm.labels.files import codebook_of
from wavlm.pipeline.artifacts import Labels, Model, Shards
from wavlm.pipeline.start import weights_of
from wavlm.pipeline.store import Store


def job_of(artifact: Model, store: Store, runtime: Runtime, out: Path) -> TrainJob:
    """The job that fills `out` with this model."""
    return TrainJob(
        key=artifact.key,
        out=out,
        network=artifact.network,
        train=artifact.train,
        num_clusters=artifact.codebook.spec.num_clusters if artifact.codebook else 0,
        num_streams=artifact.codebook.spec.num_streams if artifact.codebook else 1,
        codebook=codebook_of(store.path(artifact.labels[0])) if artifact.labels else "",
        data=tuple(_data_of(item, store) for item in artifact.data),
        mix=artifact.mix,
        noise=tuple(store.path(item) for item in artifact.noise),
        rooms=tuple(store.path(item) for item in artifact.rooms),
        mixtures=store.path(artifact.mixtures) if artifact.mixtures else None,
        start=artifact.start and StartWeights(**weights_of(artifact.start, store)._asdict()),
        runtime=with_processes(runtime, max(1, artifact.train.micro_batches_per_update // runtime.nodes)),
    )


def _data_of(item: Labels | Shards, store: Store) -> LabelledShards:
    """The folders of one corpus; shards alone have no labels."""
    shards = item.shards if isinstance(item, Labels) else item
    labels = store.path(item) if isinstance(item, Labels) else None
    return LabelledShards(shards=store.path(shards), labels=labels, corpus=shards.corpus.name)


def with_processes(runtime: Runtime, micro_batches: int) -> Runtime:
    """The runtime with a number of CPU ranks: what was set, or what divides a machine's micro-batches evenly.

    Where utterances are few, many ranks of one thread are far faster than one rank of many threads.
    """
    if runtime.gpus or runtime.processes:
        return runtime
    most = max(count for count in range(1, num_cores() + 1) if micro_batches % count == 0)
    return runtime.model_copy(update={"processes": most})
