"""The cost of a recipe before it runs: operations, core and GPU hours, bytes on disk.

Operations are counted from the network's shapes (a multiply-add is two). Rates of the CPU stages
were measured on one Zen 5 core with 15 s utterances of 16 kHz read speech.
"""

from __future__ import annotations

from dataclasses import dataclass

from wavlm.specs import IterationSpec, NetworkSpec, Recipe
from wavlm.specs.shapes import BACKWARD_FACTOR, forward_flops, num_parameters

FLAC_BYTES_PER_SECOND = 18_900  # measured: 16 kHz 16-bit read speech
LABEL_BYTES_PER_SECOND = 56  # measured: Parquet, zstd, 50 Hz; MFCC labels at 100 Hz take twice that
# Seconds of audio a core gets through in a second; measured.
DECODE_RATE = 7_000
MFCC_RATE = 2_500
RESAMPLE_RATE = 6_500
ENCODE_RATE = 2_850
# Dense bf16 (V100: fp16) matrix rates from the vendor's data sheets, TFLOP/s.
GPU_TFLOPS = {"V100": 125.0, "A100": 312.0, "H100": 989.0}
ASSUMED_UTILISATION = 0.35
ADAM_BYTES_PER_PARAMETER = 12  # fp32 weight and two moments


@dataclass(frozen=True)
class StageCost:
    """One stage of one iteration (0: shared by all)."""

    iteration: int
    stage: str
    core_hours: float
    disk_gigabytes: float
    petaflops: float = 0.0

    def gpu_hours(self, tflops: float) -> float:
        """GPU hours at the assumed utilisation of a card with this matrix rate."""
        return self.petaflops * 1e3 / (tflops * ASSUMED_UTILISATION) / 3600


@dataclass(frozen=True)
class Cost:
    """Everything a recipe needs; totals are sums over stages."""

    hours: float
    download_gigabytes: float
    parameters: tuple[int, ...]  # per iteration
    epochs: tuple[float, ...]  # per iteration; 0 where the corpus' hours are unknown
    stages: tuple[StageCost, ...]

    @property
    def core_hours(self) -> float:
        return sum(stage.core_hours for stage in self.stages)

    @property
    def disk_gigabytes(self) -> float:
        return self.download_gigabytes + sum(stage.disk_gigabytes for stage in self.stages)

    def gpu_hours(self, tflops: float) -> float:
        return sum(stage.gpu_hours(tflops) for stage in self.stages)


def cost(recipe: Recipe) -> Cost:
    """Cost of a recipe from its numbers and its corpora's expected hours."""
    hours = sum(corpus.expected_hours for corpus in recipe.speech)
    corpora = (*recipe.speech, *recipe.noise, *recipe.rooms)
    audio_seconds = 3600 * sum(corpus.expected_hours for corpus in corpora)
    sources = [source for corpus in corpora for source in corpus.sources]
    download = sum(getattr(source, "size_bytes", None) or 0 for source in sources)
    # Archives are kept beside what is unpacked from them; recorded sound hardly compresses further.
    unpacked = StageCost(0, "corpus", 0.0, download / 1e9)
    shards = StageCost(
        0,
        "shards",
        audio_seconds * (1 / DECODE_RATE + 1 / RESAMPLE_RATE + 1 / ENCODE_RATE) / 3600,
        audio_seconds * FLAC_BYTES_PER_SECOND / 1e9,
    )
    stages = [unpacked, shards]
    for number, iteration in enumerate(recipe.iterations, 1):
        teacher = recipe.iterations[number - 2].network if number > 1 else None
        seconds = _iteration_seconds(recipe, iteration)
        stages.append(_labels(number, iteration, teacher, seconds))
        stages.append(_pretrain(number, iteration))
    epochs = tuple(
        iteration.train.updates * iteration.train.batch_seconds / seconds if seconds else 0.0
        for iteration in recipe.iterations
        for seconds in [_iteration_seconds(recipe, iteration)]
    )
    parameters = tuple(num_parameters(item.network, item.codebook.num_clusters) for item in recipe.iterations)
    return Cost(hours, download / 1e9, parameters, epochs, tuple(stages))


def _pretrain(number: int, iteration: IterationSpec) -> StageCost:
    train, network = iteration.train, iteration.network
    seconds = train.updates * train.batch_seconds
    flops = BACKWARD_FACTOR * forward_flops(network, train.max_crop_seconds) * seconds
    parameters = num_parameters(network, iteration.codebook.num_clusters)
    disk = parameters * (3 * ADAM_BYTES_PER_PARAMETER + 4) / 1e9  # two snapshots, one being written
    return StageCost(number, "pretrain", seconds / DECODE_RATE / 3600, disk, flops / 1e15)


def _labels(number: int, iteration: IterationSpec, teacher: NetworkSpec | None, seconds: float) -> StageCost:
    features = iteration.codebook.features
    if features.type == "mfcc" or teacher is None:
        core = seconds * (1 / DECODE_RATE + 1 / MFCC_RATE) / 3600
        return StageCost(number, "labels", core, 2 * seconds * LABEL_BYTES_PER_SECOND / 1e9)
    flops = forward_flops(teacher, 15.0, features.layer) * seconds
    disk = seconds * LABEL_BYTES_PER_SECOND / 1e9
    return StageCost(number, "labels", seconds / DECODE_RATE / 3600, disk, flops / 1e15)


def _iteration_seconds(recipe: Recipe, iteration: IterationSpec) -> float:
    names = iteration.speech or tuple(corpus.name for corpus in recipe.speech)
    return 3600 * sum(item.expected_hours for item in recipe.speech if item.name in names)
