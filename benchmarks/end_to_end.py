"""The trainer from shards to weight updates, against the same trainer fed from memory.

The second run gets the batches that the first one loads, so the two differ in loading alone. What
comes before half of the updates is warm-up: compilation, first reads, the loader's start.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from benchmarks.harness import Claim, Figure, find_missing
from benchmarks.jobs import SMALL, job
from benchmarks.speech import Speech, speech
from benchmarks.workload import BASE
from wavlm.execution.job import TrainJob
from wavlm.execution.runtime import Runtime
from wavlm.loader.batch import PackedBatch
from wavlm.loader.epochs import SamplerState
from wavlm.loader.loader import loader
from wavlm.specs import NetworkSpec, TrainSpec

CLAIMS = (
    Claim("end_to_end.rate", "x real time"),
    Claim("end_to_end.loading", "x", "fed from memory", cuda=">= 0.99"),
    Claim("end_to_end.data_wait", "% of a step", cuda="<= 1"),
)


@dataclass(frozen=True)
class Size:
    """What is trained for how long."""

    network: NetworkSpec
    num_utterances: int
    seconds: float  # of each utterance: one length, one shape
    group_utterances: int
    updates: int
    window: int  # updates of one figure
    runtime: Runtime
    precision: str
    what: str

    @property
    def group_seconds(self) -> float:
        return self.group_utterances * self.seconds


ON_CPU = Size(
    network=SMALL,
    num_utterances=64,
    seconds=4.0,
    group_utterances=4,
    updates=48,
    window=4,
    runtime=Runtime(workers=1, threads=1, snapshot_every=10**6),
    precision="fp32",
    what="a small network (1 M parameters), fp32, 4 x 4 s an update, one thread",
)
ON_GPU = Size(
    network=BASE,
    num_utterances=130,
    seconds=15.0,
    group_utterances=13,
    updates=200,
    window=20,
    runtime=Runtime(gpus=1, workers=4, compile=True, snapshot_every=10**6),
    precision="bf16",
    what="Base, bf16, compiled, 13 x 15 s an update, 4 loader processes",
)


def main(device: str) -> Iterator[Figure]:
    rate, loading, data_wait = CLAIMS
    if reason := find_missing("webdataset", "soundfile", "pyarrow", "filelock"):
        yield from (claim.skip(device, reason) for claim in CLAIMS)
        return
    size = ON_CPU if device == "cpu" else ON_GPU
    with speech(size.num_utterances, (size.seconds, size.seconds)) as audio:
        from_shards = _train(_job(audio, size, "from-shards"), None)
        made = _job(audio, size, "from-memory")
        alone = made.model_copy(update={"runtime": Runtime(workers=0)})
        in_memory = tuple(islice(loader(alone, SamplerState()), size.updates))
        from_memory = _train(made, in_memory)
    note = f"{size.what}; {audio.note}"
    yield rate.figure(from_shards.rate, device, note)
    words = f"{from_memory.rate:,.0f} x real time from memory, by the clock; {size.what}"
    yield loading.figure(from_shards.rate / from_memory.rate, device, words)
    yield data_wait.figure(100 * from_shards.data_wait, device, note)


def _job(audio: Speech, size: Size, name: str) -> TrainJob:
    train = TrainSpec.model_validate(
        {
            "updates": size.updates,
            "warmup_updates": 10,
            "peak_lr": 5e-4,
            "batch_seconds": size.group_seconds,
            "group_seconds": size.group_seconds,
            "precision": size.precision,
            "valid_every": size.updates,
            "log_every": size.window,
        }
    )
    return job(audio, name, size.network, train, size.runtime)


@dataclass(frozen=True)
class TrainingRates:
    """The second half of a run."""

    rate: float  # seconds of audio a second
    data_wait: float  # share of the time that the trainer waited for a batch


def _train(made: TrainJob, in_memory: tuple[PackedBatch, ...] | None) -> TrainingRates:
    """Train in this process, as `python -m wavlm.train` does, without validation."""
    from wavlm.engine.ranks import join_ranks
    from wavlm.execution.stop import StopRequest
    from wavlm.train.data import data_of
    from wavlm.train.loop import Data, train

    made.out.mkdir(parents=True, exist_ok=True)
    with StopRequest() as stop, join_ranks(made.runtime) as ranks:
        data = data_of(made, ranks)
        stream = data.train if in_memory is None else lambda _: iter(in_memory)
        train(made, Data(stream, {}, data.fingerprint), ranks, stop)
    return _second_half(made.out / "metrics.jsonl")


def _second_half(path: Path) -> TrainingRates:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    late = records[len(records) // 2 :]
    return TrainingRates(
        rate=statistics.median(record["audio_seconds_per_second"] for record in late),
        data_wait=statistics.median(record["train/data_wait"] for record in late),
    )
