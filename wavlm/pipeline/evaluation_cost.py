"""What the features of evaluations cost: each corpus once per model or baseline, whichever tasks use it.

The search for heads is not in it: how many updates early stopping lets through is not known before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wavlm.execution.rates import DECODE_RATE, MFCC_RATE
from wavlm.pipeline.amounts import NOTHING, UNKNOWN, Sum
from wavlm.pipeline.artifacts import Evaluation, ImportedModel, Model, Shards
from wavlm.pipeline.imported import find_network
from wavlm.pipeline.store import Store
from wavlm.specs import NetworkSpec
from wavlm.specs.evaluation import FbankBaseline, MfccBaseline, RandomBaseline
from wavlm.specs.identity import canonical, key_of
from wavlm.specs.shapes import forward_flops

LENGTH_SECONDS = 10.0  # of a typical utterance


@dataclass(frozen=True)
class FeaturesCost:
    """Of the features of one iteration's evaluations; iteration 0: of baselines and models from elsewhere."""

    core_hours: Sum = NOTHING
    petaflops: Sum = NOTHING


def cost_features(
    evaluations: Iterable[Evaluation], hours: Mapping[Shards, Sum], store: Store | None
) -> dict[int, FeaturesCost]:
    """By iteration. All layers are computed."""
    pairs = {(_subject_of(it), shards.key): (it, shards) for it in evaluations for shards in it.shards}
    found: dict[int, FeaturesCost] = {}
    for evaluation, shards in pairs.values():
        iteration = evaluation.subject.iteration if isinstance(evaluation.subject, Model) else 0
        before, seconds = found.get(iteration, FeaturesCost()), hours[shards] * 3600
        core, petaflops = seconds * (1 / DECODE_RATE / 3600), NOTHING
        if isinstance(evaluation.subject, FbankBaseline | MfccBaseline):
            core = core + seconds * (1 / MFCC_RATE / 3600)
        else:
            network = network_of(evaluation, store)
            petaflops = seconds * (forward_flops(network, LENGTH_SECONDS) / 1e15) if network else UNKNOWN
        found[iteration] = FeaturesCost(before.core_hours + core, before.petaflops + petaflops)
    return found


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
