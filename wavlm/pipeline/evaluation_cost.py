"""What evaluations cost: features of each corpus once per model or baseline, whichever tasks use it; and heads.

Heads are counted with all of their updates, on utterances of 10 s. Early stopping makes both fewer: that is not known
before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wavlm.execution.rates import CORE_FLOPS_OF_HEADS, DECODE_RATE, MFCC_RATE
from wavlm.pipeline.amounts import NOTHING, UNKNOWN, Sum
from wavlm.pipeline.artifacts import Artifact, Evaluation, Finetune, ImportedModel, Model, Shards, Simulation
from wavlm.pipeline.imported import find_network
from wavlm.pipeline.store import Store
from wavlm.specs import NetworkSpec
from wavlm.specs.base import FRAME_RATE_HZ
from wavlm.specs.evaluation import FbankBaseline, MfccBaseline, RandomBaseline
from wavlm.specs.head_shapes import head_flops
from wavlm.specs.identity import canonical, key_of
from wavlm.specs.shapes import BACKWARD_FACTOR, forward_flops
from wavlm.specs.tasks import WritesTexts

LENGTH_SECONDS = 10.0  # of a typical utterance
WIDEST_BASELINE = 240  # channels of fbank with its differences
MFCC_CHANNELS = 39
POOLED = "pooled_linear"  # the head that takes the mean over time
FOLDS = 5  # of IEMOCAP; how many another corpus has is not known before


@dataclass(frozen=True)
class FeaturesCost:
    """Of the features of one iteration's evaluations; iteration 0: of baselines and models from elsewhere."""

    core_hours: Sum = NOTHING
    petaflops: Sum = NOTHING
    gigabytes: Sum = NOTHING  # of all files together, of which only some are kept


def cost_features(
    evaluations: Iterable[Evaluation], hours: Mapping[Shards | Simulation, Sum], store: Store | None
) -> dict[int, FeaturesCost]:
    """By iteration. All layers are computed. Frames are written where a task needs them, else means over time."""
    by_size = sorted(evaluations, key=lambda it: it.spec.head.type != POOLED)
    pairs = {(_subject_of(it), data.key): (it, data) for it in by_size for data in it.data}
    found: dict[int, FeaturesCost] = {}
    for evaluation, data in pairs.values():
        iteration = evaluation.subject.iteration if isinstance(evaluation.subject, Model) else 0
        before, seconds = found.get(iteration, FeaturesCost()), hours[data] * 3600
        core, petaflops = seconds * (1 / DECODE_RATE / 3600), NOTHING
        if isinstance(evaluation.subject, FbankBaseline | MfccBaseline):
            core = core + seconds * (1 / MFCC_RATE / 3600)
        else:
            network = network_of(evaluation, store)
            petaflops = seconds * (forward_flops(network, LENGTH_SECONDS) / 1e15) if network else UNKNOWN
        size = seconds * (_bytes_per_second(evaluation, store) / 1e9) if _is_sized(evaluation, store) else UNKNOWN
        found[iteration] = FeaturesCost(before.core_hours + core, before.petaflops + petaflops, before.gigabytes + size)
    return found


def _is_sized(evaluation: Evaluation, store: Store | None) -> bool:
    is_flat = isinstance(evaluation.subject, FbankBaseline | MfccBaseline)
    return is_flat or network_of(evaluation, store) is not None


def _bytes_per_second(evaluation: Evaluation, store: Store | None) -> float:
    """Of all states, in float16."""
    network = network_of(evaluation, store)
    states, channels, rate_hz = (1, WIDEST_BASELINE, 2 * FRAME_RATE_HZ)
    if isinstance(evaluation.subject, MfccBaseline):
        channels = MFCC_CHANNELS
    if network:
        states, channels, rate_hz = network.num_layers + 1, network.width, FRAME_RATE_HZ
    if evaluation.spec.head.type == POOLED:
        return 2 * states * channels / LENGTH_SECONDS
    return 2 * states * channels * rate_hz


@dataclass(frozen=True)
class HeadsCost:
    """Of the search for the heads of some evaluations, at most."""

    fits: int = 0
    updates: int = 0
    petaflops: Sum = NOTHING
    core_hours: Sum = NOTHING  # where there is no GPU

    def __add__(self, other: HeadsCost) -> HeadsCost:
        return HeadsCost(
            self.fits + other.fits,
            self.updates + other.updates,
            self.petaflops + other.petaflops,
            self.core_hours + other.core_hours,
        )


NO_HEADS = HeadsCost()


def cost_heads(evaluations: Iterable[Evaluation], store: Store | None) -> dict[int, HeadsCost]:
    """By iteration, of evaluations that fit something."""
    found: dict[int, HeadsCost] = {}
    for evaluation in evaluations:
        if evaluation.spec.fit is not None:
            iteration = evaluation.subject.iteration if isinstance(evaluation.subject, Model) else 0
            found[iteration] = found.get(iteration, NO_HEADS) + _cost_head(evaluation, store)
    return found


def beam_searched(artifacts: Iterable[Artifact]) -> tuple[str, ...]:
    """The names of the tasks whose test part a beam search reads, too. What it costs depends on how sure a model is."""
    specs = [item.spec for item in artifacts if isinstance(item, Evaluation | Finetune)]
    decoded = (it.name for it in specs if isinstance(it.task, WritesTexts) and it.task.decoder is not None)
    return tuple(dict.fromkeys(decoded))


def _cost_head(evaluation: Evaluation, store: Store | None) -> HeadsCost:
    spec, fit = evaluation.spec, evaluation.spec.fit
    assert fit is not None  # noqa: S101 - its caller looked
    is_network = not isinstance(evaluation.subject, FbankBaseline | MfccBaseline)
    network = network_of(evaluation, store)
    alone = network.num_layers + 1 if network and spec.single_layers else 0
    folds = FOLDS if spec.split.type == "folds" else 1
    fits = folds * len(fit.seeds) * (len(fit.learning_rates) + alone)
    rate = CORE_FLOPS_OF_HEADS.get(spec.head.type)
    operations = None
    if network or not is_network:
        channels = network.width if network else WIDEST_BASELINE
        rate_hz = FRAME_RATE_HZ * (1 if is_network else 2)
        operations = head_flops(spec.head, channels, rate_hz, LENGTH_SECONDS)
    if operations is None or rate is None:
        return HeadsCost(fits, fits * fit.updates, UNKNOWN, UNKNOWN)
    all_of_them = fits * fit.updates * fit.batch * BACKWARD_FACTOR * operations
    return HeadsCost(fits, fits * fit.updates, Sum(all_of_them / 1e15), Sum(all_of_them / rate / 3600))


def network_of(evaluation: Evaluation, store: Store | None) -> NetworkSpec | None:
    """The network that computes the features; None for baselines without one, and if it is not known yet."""
    subject = evaluation.subject
    if isinstance(subject, Model):
        return subject.network
    if isinstance(subject, ImportedModel):
        return find_network(subject, store)
    return subject.network if isinstance(subject, RandomBaseline) else None


def _subject_of(evaluation: Evaluation) -> str:
    subject = evaluation.subject
    return subject.key if isinstance(subject, Model | ImportedModel) else key_of(canonical(subject))
