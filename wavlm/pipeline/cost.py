"""The cost of a recipe before it runs: operations, core and GPU hours, bytes on disk.

Operations are counted from the network's shapes (a multiply-add is two). Rates of the CPU stages were measured
(`wavlm.execution.rates`). A network that gives features computes in fp32, a training in the precision of its recipe.

What is not known of corpora is counted as unknown, and not as 0 (`wavlm.pipeline.amounts`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from wavlm.execution.rates import (
    CLUSTERING_FLOPS,
    CORE_FLOPS,
    DECODE_RATE,
    ENCODE_RATE,
    MFCC_LABELS_RATE,
    PACK_RATE,
    RESAMPLE_RATE,
)
from wavlm.pipeline.amounts import (
    NOTHING,
    UNKNOWN,
    Sum,
    add,
    download_bytes,
    flat_bytes_per_second,
    hours_of,
    label_bytes_per_second,
    left_to_download,
    share_to_make,
    unpacked_bytes,
)
from wavlm.pipeline.artifacts import (
    Artifact,
    Codebook,
    Evaluation,
    Finetune,
    Labels,
    Model,
    Scores,
    Shards,
    Simulation,
    keep_latest,
)
from wavlm.pipeline.evaluation_cost import MFCC_CHANNELS, NO_HEADS, cost_heads, find_beam_searches
from wavlm.pipeline.evaluation_stages import stages_of_features, stages_of_heads
from wavlm.pipeline.finetune_cost import flops_of, has_network, seconds_of
from wavlm.pipeline.imported import network_of
from wavlm.pipeline.plan import models, plan, scores_of
from wavlm.pipeline.simulation_cost import hours_of_simulation
from wavlm.pipeline.stage_cost import Cost, StageCost
from wavlm.pipeline.store import Store
from wavlm.shards.facts import ShardsFacts
from wavlm.specs import (
    SAMPLE_RATE_HZ,
    CodebookSpec,
    ExternalLabelsSpec,
    LabelSource,
    MultiCodebookSpec,
    NetworkSpec,
    Recipe,
    hidden_features,
)
from wavlm.specs.frames import FrameGrid
from wavlm.specs.shapes import BACKWARD_FACTOR, forward_flops, num_parameters

FLAC_BYTES_PER_SECOND = 18_900  # measured: 16 kHz 16-bit read speech
ADAM_BYTES_PER_PARAMETER = 12  # fp32 weight and two moments
WEIGHT_BYTES_PER_PARAMETER = 4
SNAPSHOTS = 2  # that are kept while a model trains, beside the one that is written
LENGTH_SECONDS = 10.0  # of a typical utterance
KEPT = {"none": (False, False), "archives": (True, False), "files": (False, True)}  # archives and audio of a corpus
SCORING_PASSES = 25  # of k-means, for each layer


def cost(recipe: Recipe, store: Store | None = None, wanted: Sequence[Artifact] | None = None) -> Cost:
    """Cost of a recipe from its numbers, from what the store knows, and from its corpora's expected hours.

    What is left is what of `wanted` the store does not hold; of the whole recipe if it is not given.
    """
    artifacts = plan(recipe)
    left = frozenset(wanted if wanted is not None else artifacts if store is None else _missing(artifacts, store))
    shards = [item for item in keep_latest(artifacts) if isinstance(item, Shards)]
    hours = {item: hours_of(item, store) for item in shards}
    talks = [item for item in artifacts if isinstance(item, Simulation)]
    simulated = {item: Sum(hours_of_simulation(item, store)) for item in talks}
    speech = {spec.name for spec in recipe.speech}
    stages, epochs, made = [_corpora(shards, left), _shards(hours, store, left)], [], set[Artifact]()
    for model in models(artifacts):
        new = [item for item in model.labels if item not in made]
        if model.codebook and model.codebook not in made:
            stages.append(_codebook(model.iteration, model.codebook, store))
        made |= {*new, *([model.codebook] if model.codebook else [])}
        stages += [
            *([_labels(model, new, hours, left, store)] if model.codebook else []),
            _pretrain(model, hours, left),
        ]
        if scores := scores_of(model, recipe):
            stages.append(_scores(scores))
        seconds = add(hours[item] for item in model.shards) * 3600
        trained = model.train.updates * model.train.batch_seconds
        epochs.append(trained / seconds.known if seconds.known and not seconds.unknown else None)
    evaluations = [item for item in artifacts if isinstance(item, Evaluation)]
    features = stages_of_features(evaluations, hours | simulated, store, left)
    heads = cost_heads(evaluations, store)
    stages += [*features, *stages_of_heads(heads)]
    stages += [_simulation(item, found, left) for item, found in simulated.items()]
    stages += [_finetune(item, store, left) for item in artifacts if isinstance(item, Finetune)]
    return Cost(
        hours=add(hours[item] for item in shards if item.corpus.name in speech),
        download_gigabytes=add(download_bytes(item.corpus.spec) for item in shards) * 1e-9,
        left_to_download_gigabytes=add(left_to_download(item, store) for item in shards if item.corpus in left) * 1e-9,
        unknown_hours=tuple(item.corpus.name for item in shards if hours[item].unknown),
        parameters=tuple(_parameters(model) for model in models(artifacts)),
        epochs=tuple(epochs),
        stages=tuple(stages),
        freed_gigabytes=_freed(recipe, shards, models(artifacts)) + add(it.disk_gigabytes for it in features),
        in_place=tuple(item.corpus.name for item in shards if item.corpus.spec.folder),
        unknown_sizes=tuple(item.corpus.name for item in shards if download_bytes(item.corpus.spec).unknown),
        heads=sum(heads.values(), NO_HEADS),
        beam_searched=find_beam_searches(artifacts),
    )


def _corpora(shards: list[Shards], left: frozenset[Artifact]) -> StageCost:
    """What is unpacked from archives, which are kept beside it; recorded sound hardly compresses further."""
    sizes = {item.corpus: unpacked_bytes(item.corpus.spec) * 1e-9 for item in shards}
    return StageCost(0, "corpus", Sum(), add(sizes.values()), _left(sizes, left))


def _shards(hours: dict[Shards, Sum], store: Store | None, left: frozenset[Artifact]) -> StageCost:
    sizes = {item: _shard_bytes(item, found, store) * 1e-9 for item, found in hours.items()}
    core_hours = add(hours.values()) * (1 / PACK_RATE + 1 / RESAMPLE_RATE)
    return StageCost(0, "shards", core_hours, add(sizes.values()), _left(_to_make(sizes, store), left))


def _to_make(sizes: Mapping[Any, Sum], store: Store | None) -> dict[Any, Sum]:
    """The sizes of shards or labels without what earlier generations have made."""
    return {item: size * share_to_make(item, store) for item, size in sizes.items()}


def _shard_bytes(shards: Shards, hours: Sum, store: Store | None) -> Sum:
    if store and store.is_complete(shards):
        return Sum(store.facts(shards, ShardsFacts).bytes)
    return hours * (3600 * FLAC_BYTES_PER_SECOND * shards.spec.sample_rate_hz / SAMPLE_RATE_HZ)


def _labels(
    model: Model, labels: list[Labels], hours: dict[Shards, Sum], left: frozenset[Artifact], store: Store | None
) -> StageCost:
    """The labels that no earlier iteration has made."""
    teacher = model.codebook.teacher if model.codebook else None
    sizes = {item: hours[item.shards] * (3600e-9 * label_bytes_per_second(model)) for item in labels}
    seconds = add(hours[item.shards] for item in labels) * 3600
    disk, left_disk = add(sizes.values()), _left(_to_make(sizes, store), left)
    if model.codebook is None or teacher is None or (hidden := hidden_features(model.codebook.spec)) is None:
        core_hours = seconds * (1 / MFCC_LABELS_RATE / 3600)
        return StageCost(model.iteration, "labels", core_hours, disk, left_disk)
    network = network_of(teacher, store)
    petaflops = seconds * (forward_flops(network, 15.0, hidden.layer) / 1e15) if network else UNKNOWN
    core_hours = seconds * (1 / DECODE_RATE / 3600)
    return StageCost(model.iteration, "labels", core_hours, disk, left_disk, petaflops=petaflops)


def sample_seconds(spec: LabelSource) -> float:
    """Audio that the sample of a codebook is taken from, if there is enough."""
    if isinstance(spec, ExternalLabelsSpec):
        return 0.0
    return LENGTH_SECONDS * spec.sample_frames / spec.frames_per_utterance


def _fitting_hours(spec: LabelSource, network: NetworkSpec | None) -> float:
    """Core hours of k-means, or of a fit of several codebooks, whose encoding compares frames with centres as often."""
    match spec:
        case CodebookSpec():
            return _clustering_hours(spec.sample_frames, spec.num_clusters, network, spec.iterations * spec.redo)
        case MultiCodebookSpec():
            return _clustering_hours(spec.sample_frames, spec.num_clusters * spec.num_streams, network, spec.iterations)
        case _:
            return 0.0


def _codebook(iteration: int, codebook: Codebook, store: Store | None) -> StageCost:
    """The features of the sample, and what is fitted on them."""
    spec, seconds = codebook.spec, sample_seconds(codebook.spec)
    network = network_of(codebook.teacher, store)
    clustering = _fitting_hours(spec, network)
    hidden = hidden_features(spec)
    if codebook.teacher is None or hidden is None:
        return StageCost(iteration, "codebook", Sum(seconds / MFCC_LABELS_RATE / 3600 + clustering))
    flops = seconds * forward_flops(network, LENGTH_SECONDS, hidden.layer) if network else 0.0
    petaflops = Sum(flops / 1e15) if network else UNKNOWN
    return StageCost(iteration, "codebook", Sum(seconds / DECODE_RATE / 3600 + clustering), petaflops=petaflops)


def _clustering_hours(frames: float, num_clusters: int, network: NetworkSpec | None, passes: int) -> float:
    """Core hours of k-means: in each pass every frame meets every centroid. network: None for MFCC."""
    width = network.width if network else MFCC_CHANNELS
    return 2 * frames * num_clusters * width * passes / CLUSTERING_FLOPS / 3600


def _scores(scores: Scores) -> StageCost:
    """One core computes all layers of some utterances, and clusters half of them layer by layer.

    Twice: once of utterances with phones, if there are any, and once of all corpora.
    """
    spec, network = scores.spec, scores.model.network
    seconds = 2 * spec.max_utterances * LENGTH_SECONDS
    layers = len(spec.layers) or network.num_layers
    clustering = _clustering_hours(
        seconds / 2 * FrameGrid.of(network).rate_hz, spec.num_clusters, network, SCORING_PASSES
    )
    forward = seconds * forward_flops(network, LENGTH_SECONDS) / CORE_FLOPS / 3600
    return StageCost(scores.model.iteration, "scores", Sum(forward + layers * clustering))


def _freed(recipe: Recipe, shards: Sequence[Shards], trained: Sequence[Model]) -> Sum:
    """What `wavlm gc` deletes when all is made: checkpoints, and archives and audio where the recipe allows it."""
    freed = add(Sum(_snapshot_gigabytes(model)) for model in trained) * SNAPSHOTS
    for spec in (item.corpus.spec for item in shards):
        keeps_archives, keeps_audio = KEPT.get(spec.keep or "", (recipe.keep.archives, recipe.keep.audio))
        archives = NOTHING if keeps_archives else download_bytes(spec)
        freed = freed + (archives + (NOTHING if keeps_audio else unpacked_bytes(spec))) * 1e-9
    return freed


def _snapshot_gigabytes(model: Model) -> float:
    return ADAM_BYTES_PER_PARAMETER * _parameters(model) / 1e9


def _parameters(model: Model) -> int:
    clusters, streams = (
        (model.codebook.spec.num_clusters, model.codebook.spec.num_streams) if model.codebook else (0, 1)
    )
    return num_parameters(model.network, clusters, streams, model.train.quantizer)


def _pretrain(model: Model, hours: dict[Shards, Sum], left: frozenset[Artifact]) -> StageCost:
    train = model.train
    seconds = train.updates * train.batch_seconds
    flops = BACKWARD_FACTOR * forward_flops(model.network, train.max_crop_seconds) * seconds
    disk = Sum(SNAPSHOTS * _snapshot_gigabytes(model) + WEIGHT_BYTES_PER_PARAMETER * _parameters(model) / 1e9)
    flat = add(hours[item] for item in model.shards) * (3600e-9 * flat_bytes_per_second(model))
    extra = Sum(_snapshot_gigabytes(model)) + flat  # one more, which is being written
    return StageCost(
        model.iteration,
        "pretrain",
        core_hours=Sum(seconds / DECODE_RATE / 3600),
        disk_gigabytes=disk,
        left_gigabytes=_left({model: disk}, left),
        extra_gigabytes=extra,
        petaflops=Sum(flops / 1e15),
        precision=train.precision,
    )


def _simulation(item: Simulation, hours: Sum, left: frozenset[Artifact]) -> StageCost:
    """The shards, and as much again while the conversations are made. Drawing and rooms are not counted."""
    disk = hours * (3600 * FLAC_BYTES_PER_SECOND / 1e9)
    core_hours = hours * (1 / ENCODE_RATE + 1 / PACK_RATE)
    return StageCost(0, "simulation", core_hours, disk, _left({item: disk}, left))


def _finetune(system: Finetune, store: Store | None, left: frozenset[Artifact]) -> StageCost:
    """The network's passes, and its checkpoints; the head is small beside it."""
    network, seconds = network_of(system.stands_on, store), seconds_of(system)
    petaflops, disk = UNKNOWN if has_network(system) else NOTHING, NOTHING
    if network:
        petaflops = Sum(flops_of(system, network) / 1e15)
        each = ADAM_BYTES_PER_PARAMETER * num_parameters(network, 0) / 1e9
        disk = Sum(SNAPSHOTS * each + WEIGHT_BYTES_PER_PARAMETER * num_parameters(network, 0) / 1e9)
    iteration = system.stands_on.iteration if isinstance(system.stands_on, Model) else 0
    precisions = {stage.precision for stage in system.spec.stages}
    return StageCost(
        iteration,
        "finetune",
        core_hours=Sum(seconds / DECODE_RATE / 3600),
        disk_gigabytes=disk,
        left_gigabytes=_left({system: disk}, left),
        petaflops=petaflops,
        precision=precisions.pop() if len(precisions) == 1 else "fp32",
    )


def _left(sizes: Mapping[Any, Sum], left: frozenset[Artifact]) -> Sum:
    return add(size for artifact, size in sizes.items() if artifact in left)


def _missing(artifacts: Iterable[Artifact], store: Store) -> Iterator[Artifact]:
    return (item for item in artifacts if not store.is_complete(item))
