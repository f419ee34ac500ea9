"""The stages of evaluations in an estimate: features, which are a cache, and the search for heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wavlm.execution.runtime import Runtime
from wavlm.pipeline.amounts import NOTHING, Sum
from wavlm.pipeline.artifacts import Artifact, Evaluation, Shards, Simulation
from wavlm.pipeline.evaluation_cost import FeaturesCost, HeadsCost, cost_features
from wavlm.pipeline.stage_cost import HEADS, StageCost
from wavlm.pipeline.store import Store

FEATURES = "evaluation"  # the stage, as its artifacts are called


def stages_of_features(
    evaluations: Sequence[Evaluation],
    hours: Mapping[Shards | Simulation, Sum],
    store: Store | None,
    left: frozenset[Artifact],
) -> list[StageCost]:
    """A stage per iteration. What is left is counted as if no features were there."""
    found = cost_features(evaluations, hours, store)
    disk = share_disk(found)
    left_disk = share_disk(cost_features([it for it in evaluations if it in left], hours, store))
    return [
        StageCost(
            iteration,
            FEATURES,
            it.core_hours,
            disk_gigabytes=disk[iteration][0],
            left_gigabytes=left_disk.get(iteration, (NOTHING, NOTHING))[0],
            extra_gigabytes=disk[iteration][1],
            petaflops=it.petaflops,
        )
        for iteration, it in sorted(found.items())
    ]


def stages_of_heads(heads: Mapping[int, HeadsCost]) -> list[StageCost]:
    """A stage per iteration, on a GPU. What they take of cores without one is `HeadsCost.core_hours`."""
    return [StageCost(iteration, HEADS, Sum(), petaflops=it.petaflops) for iteration, it in sorted(heads.items())]


def share_disk(found: Mapping[int, FeaturesCost]) -> dict[int, tuple[Sum, Sum]]:
    """By iteration, the gigabytes that its features take after it, and more while it runs.

    After each evaluation `features_gigabytes` of all are kept. While one runs its own are there: at most all of them.
    """
    free, shares = float(Runtime().features_gigabytes), {}
    for iteration, cost in sorted(found.items()):
        kept = min(free, cost.gigabytes.known)
        free -= kept
        shares[iteration] = Sum(kept, cost.gigabytes.unknown), Sum(cost.gigabytes.known - kept)
    return shares
