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
from wavlm.pipeline.imported import network_of
from wavlm.pipeline.store import Store
from wavlm.specs.base import FRAME_RATE_HZ
from wavlm.specs.evaluation import FbankBaseline, MfccBaseline
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
        core, petaflops, size = seconds * (1 / DECODE_RATE / 3600), NOTHING, UNKNOWN
        is_pooled, network = evaluation.spec.head.type == POOLED, network_of(evaluation.subject, store)
        if isinstance(evaluation.subject, FbankBaseline | MfccBaseline):
            core = core + seconds * (1 / MFCC_RATE / 3600)
            channels = MFCC_CHANNELS if isinstance(evaluation.subject, MfccBaseline) else WIDEST_BASELINE
            size = seconds * _gigabytes_per_second(channels, 2 * FRAME_RATE_HZ, is_pooled=is_pooled)
        elif network is None:
            petaflops = UNKNOWN
        else:
            petaflops = seconds * (forward_flops(network, LENGTH_SECONDS) / 1e15)
            channels = (network.num_layers + 1) * network.width
            size = seconds * _gigabytes_per_second(channels, FRAME_RATE_HZ, is_pooled=is_pooled)
        found[iteration] = FeaturesCost(before.core_hours + core, before.petaflops + petaflops, before.gigabytes + size)
    return found


def _gigabytes_per_second(channels: int, rate_hz: int, *, is_pooled: bool) -> float:
    """Of the channels of all states, in float16: of each frame, or of the mean over an utterance."""
    return 2e-9 * channels * (1 / LENGTH_SECONDS if is_pooled else rate_hz)


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


def find_beam_searches(artifacts: Iterable[Artifact]) -> tuple[str, ...]:
    """The names of the tasks whose test part a beam search reads, too. What it costs depends on how sure a model is."""
    specs = [item.spec for item in artifacts if isinstance(item, Evaluation | Finetune)]
    decoded = (it.name for it in specs if isinstance(it.task, WritesTexts) and it.task.decoder is not None)
    return tuple(dict.fromkeys(decoded))


def _cost_head(evaluation: Evaluation, store: Store | None) -> HeadsCost:
    spec, fit = evaluation.spec, evaluation.spec.fit
    assert fit is not None  # noqa: S101 - its caller looked
    is_network = not isinstance(evaluation.subject, FbankBaseline | MfccBaseline)
    network = network_of(evaluation.subject, store)
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


def _subject_of(evaluation: Evaluation) -> str:
    subject = evaluation.subject
    return subject.key if isinstance(subject, Model | ImportedModel) else key_of(canonical(subject))
