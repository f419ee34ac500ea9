"""The cost of a recipe before it runs: operations, core and GPU hours, bytes on disk.

Operations are counted from the network's shapes (a multiply-add is two). Rates of the CPU stages
were measured on one Zen 5 core with 15 s utterances of 16 kHz read speech.

How much speech there is comes from the store for what it holds, else from `expected_hours` of the corpus spec. What
neither knows is counted as unknown, not as 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wavlm.corpus.facts import CorpusFacts
from wavlm.execution.rates import DECODE_RATE, ENCODE_RATE, MFCC_RATE, RESAMPLE_RATE
from wavlm.pipeline.artifacts import Artifact, Labels, Model, Shards, generation_of, keep_latest
from wavlm.pipeline.imported import teacher_network
from wavlm.pipeline.plan import models, plan
from wavlm.pipeline.record import read_field
from wavlm.pipeline.store import Store
from wavlm.shards.facts import ShardsFacts
from wavlm.specs import AptSource, CorpusSpec, FolderSource, HttpsSource, Recipe
from wavlm.specs.shapes import BACKWARD_FACTOR, forward_flops, num_parameters

FLAC_BYTES_PER_SECOND = 18_900  # measured: 16 kHz 16-bit read speech
LABEL_BYTES_PER_SECOND = 56  # measured: Parquet, zstd, 50 Hz; MFCC labels at 100 Hz take twice that
# Dense bf16 (V100: fp16) matrix rates from the vendor's data sheets, TFLOP/s.
GPU_TFLOPS = {"V100": 125.0, "A100": 312.0, "H100": 989.0}
ASSUMED_UTILISATION = 0.35
ADAM_BYTES_PER_PARAMETER = 12  # fp32 weight and two moments


@dataclass(frozen=True)
class Sum:
    """A sum of which some addends may be unknown."""

    known: float = 0.0
    unknown: int = 0

    def __add__(self, other: Sum) -> Sum:
        return Sum(self.known + other.known, self.unknown + other.unknown)

    def __mul__(self, factor: float) -> Sum:
        return Sum(self.known * factor, self.unknown)

    def show(self, digits: int = 0) -> str:
        """`12.3`, `12.3 + ?` if a part is unknown, `?` if nothing is known."""
        if self.unknown:
            return f"{self.known:,.{digits}f} + ?" if self.known else "?"
        return f"{self.known:,.{digits}f}"


UNKNOWN = Sum(0.0, 1)


@dataclass(frozen=True)
class StageCost:
    """One stage of one iteration (0: shared by all). `left_gigabytes` is for what the store does not hold yet."""

    iteration: int
    stage: str
    core_hours: Sum
    disk_gigabytes: Sum
    left_gigabytes: Sum
    petaflops: Sum = Sum()

    def gpu_hours(self, tflops: float) -> Sum:
        """GPU hours at the assumed utilisation of a card with this matrix rate."""
        return self.petaflops * (1e3 / (tflops * ASSUMED_UTILISATION) / 3600)


@dataclass(frozen=True)
class Cost:
    """Everything a recipe needs; totals are sums over stages."""

    hours: Sum  # of speech
    download_gigabytes: Sum
    left_to_download_gigabytes: Sum
    unknown_hours: tuple[str, ...]  # names of corpora
    parameters: tuple[int, ...]  # per iteration
    epochs: tuple[float | None, ...]  # per iteration; None where the hours of a corpus are unknown
    stages: tuple[StageCost, ...]

    @property
    def core_hours(self) -> Sum:
        return add(stage.core_hours for stage in self.stages)

    @property
    def disk_gigabytes(self) -> Sum:
        return self.download_gigabytes + add(stage.disk_gigabytes for stage in self.stages)

    @property
    def left_gigabytes(self) -> Sum:
        """Disk that what is not there yet will take."""
        return self.left_to_download_gigabytes + add(stage.left_gigabytes for stage in self.stages)

    def gpu_hours(self, tflops: float) -> Sum:
        return add(stage.gpu_hours(tflops) for stage in self.stages)


def add(sums: Iterable[Sum]) -> Sum:
    """The sum of sums."""
    return sum(sums, Sum())


def cost(recipe: Recipe, store: Store | None = None, wanted: Sequence[Artifact] | None = None) -> Cost:
    """Cost of a recipe from its numbers, from what the store knows, and from its corpora's expected hours.

    What is left is what of `wanted` the store does not hold; of the whole recipe if it is not given.
    """
    artifacts = plan(recipe)
    left = frozenset(wanted if wanted is not None else artifacts if store is None else _missing(artifacts, store))
    shards = [item for item in keep_latest(artifacts) if isinstance(item, Shards)]
    hours = {item: hours_of(item, store) for item in shards}
    speech = {spec.name for spec in recipe.speech}
    stages, epochs, labelled = [_corpora(shards, left), _shards(hours, store, left)], [], set[Labels]()
    for model in models(artifacts):
        new = [item for item in model.labels if item not in labelled]
        labelled |= set(new)
        stages += [_labels(model, new, hours, left, store), _pretrain(model, left)]
        seconds = add(hours[item] for item in model.shards) * 3600
        trained = model.train.updates * model.train.batch_seconds
        epochs.append(trained / seconds.known if seconds.known and not seconds.unknown else None)
    return Cost(
        hours=add(hours[item] for item in shards if item.corpus.name in speech),
        download_gigabytes=add(download_bytes(item.corpus.spec) for item in shards) * 1e-9,
        left_to_download_gigabytes=add(_left_to_download(item, store) for item in shards if item.corpus in left) * 1e-9,
        unknown_hours=tuple(item.corpus.name for item in shards if hours[item].unknown),
        parameters=tuple(num_parameters(item.network, item.codebook.num_clusters) for item in recipe.iterations),
        epochs=tuple(epochs),
        stages=tuple(stages),
    )


def hours_of(shards: Shards, store: Store | None) -> Sum:
    """Audio of a corpus: of its shards if the store holds them, else of the corpus, else what its spec expects."""
    if store and store.is_complete(shards):
        return Sum(store.facts(shards, ShardsFacts).hours)
    if store and store.is_complete(shards.corpus):
        return Sum(store.facts(shards.corpus, CorpusFacts).hours)
    if store and (earlier := earlier_hours(shards, store)):
        return Sum(earlier * _growth(shards))
    expected = shards.corpus.spec.expected_hours
    return Sum(expected) if expected else UNKNOWN


def earlier_hours(shards: Shards, store: Store) -> float:
    """Audio in the shards of the generation before, whose parts are taken over; 0 for a corpus that has not grown."""
    siblings = store.siblings(shards) if shards.is_known and (generation_of(shards) or 1) > 1 else []
    return ShardsFacts.model_validate(read_field(siblings[0], "facts"), strict=False).hours if siblings else 0.0


def _growth(shards: Shards) -> float:
    """How much larger the folder of a corpus is than in the generation before, by bytes."""
    sizes = shards.corpus.spec.folder.generation_bytes if shards.corpus.spec.folder else ()
    return sizes[-1] / max(1, sizes[-2]) if len(sizes) > 1 else 1.0


def share_to_make(artifact: Shards | Labels, store: Store | None) -> float:
    """The share of shards or labels that no earlier generation has made, as far as hours tell."""
    shards = artifact.shards if isinstance(artifact, Labels) else artifact
    if store is None or (isinstance(artifact, Labels) and not store.is_complete(artifact.codebook)):
        return 1.0
    hours = hours_of(shards, store).known
    return 1.0 - min(1.0, earlier_hours(shards, store) / hours) if hours else 1.0


def download_bytes(spec: CorpusSpec) -> Sum:
    """Size of a corpus' archives; a folder is read in place and has none."""
    return add(_source_bytes(source) for source in spec.sources if not isinstance(source, FolderSource))


def _source_bytes(source: HttpsSource | AptSource) -> Sum:
    published = source.published_gigabytes * 1e9 if isinstance(source, HttpsSource) else 0.0
    size = source.size_bytes or published
    return Sum(size) if size else UNKNOWN


def _left_to_download(shards: Shards, store: Store | None) -> Sum:
    """What is not among the store's downloads."""
    sources = [item for item in shards.corpus.spec.sources if not isinstance(item, FolderSource)]
    there = {item for item in sources if store and (store.downloads / item.file_name).exists()}
    return add(_source_bytes(item) for item in sources if item not in there)


def _corpora(shards: list[Shards], left: frozenset[Artifact]) -> StageCost:
    """Archives are kept beside what is unpacked from them; recorded sound hardly compresses further."""
    sizes = {item.corpus: download_bytes(item.corpus.spec) * 1e-9 for item in shards}
    return StageCost(0, "corpus", Sum(), add(sizes.values()), _left(sizes, left))


def _shards(hours: dict[Shards, Sum], store: Store | None, left: frozenset[Artifact]) -> StageCost:
    sizes = {item: _shard_bytes(item, found, store) * 1e-9 for item, found in hours.items()}
    core_hours = add(hours.values()) * (1 / DECODE_RATE + 1 / RESAMPLE_RATE + 1 / ENCODE_RATE)
    return StageCost(0, "shards", core_hours, add(sizes.values()), _left(_to_make(sizes, store), left))


def _to_make(sizes: Mapping[Any, Sum], store: Store | None) -> dict[Any, Sum]:
    """The sizes of shards or labels without what earlier generations have made."""
    return {item: size * share_to_make(item, store) for item, size in sizes.items()}


def _shard_bytes(shards: Shards, hours: Sum, store: Store | None) -> Sum:
    if store and store.is_complete(shards):
        return Sum(store.facts(shards, ShardsFacts).bytes)
    return hours * (3600 * FLAC_BYTES_PER_SECOND)


def _labels(
    model: Model, labels: list[Labels], hours: dict[Shards, Sum], left: frozenset[Artifact], store: Store | None
) -> StageCost:
    """The labels that no earlier iteration has made."""
    teacher = model.codebook.teacher if model.codebook else None
    per_second = LABEL_BYTES_PER_SECOND / 1e9 * (1 if teacher else 2)
    sizes = {item: hours[item.shards] * (3600 * per_second) for item in labels}
    seconds = add(hours[item.shards] for item in labels) * 3600
    disk, left_disk = add(sizes.values()), _left(_to_make(sizes, store), left)
    if model.codebook is None or teacher is None or model.codebook.spec.features.type == "mfcc":
        core_hours = seconds * ((1 / DECODE_RATE + 1 / MFCC_RATE) / 3600)
        return StageCost(model.iteration, "labels", core_hours, disk, left_disk)
    network = teacher_network(model.codebook, store)
    layer = model.codebook.spec.features.layer
    petaflops = seconds * (forward_flops(network, 15.0, layer) / 1e15) if network else UNKNOWN
    return StageCost(model.iteration, "labels", seconds * (1 / DECODE_RATE / 3600), disk, left_disk, petaflops)


def _pretrain(model: Model, left: frozenset[Artifact]) -> StageCost:
    train = model.train
    seconds = train.updates * train.batch_seconds
    flops = BACKWARD_FACTOR * forward_flops(model.network, train.max_crop_seconds) * seconds
    parameters = num_parameters(model.network, model.codebook.spec.num_clusters if model.codebook else 0)
    disk = Sum(parameters * (3 * ADAM_BYTES_PER_PARAMETER + 4) / 1e9)  # two snapshots, one being written
    core_hours = Sum(seconds / DECODE_RATE / 3600)
    return StageCost(model.iteration, "pretrain", core_hours, disk, _left({model: disk}, left), Sum(flops / 1e15))


def _left(sizes: Mapping[Any, Sum], left: frozenset[Artifact]) -> Sum:
    return add(size for artifact, size in sizes.items() if artifact in left)


def _missing(artifacts: Iterable[Artifact], store: Store) -> Iterator[Artifact]:
    return (item for item in artifacts if not store.is_complete(item))
