"""The scores of a model under the names that the registry and the gate use: `probe/...`."""

from __future__ import annotations

from collections.abc import Iterator

from wavlm.evaluation.facts import MODES, ScoresFacts
from wavlm.evaluation.fast.words import best_abx, mfcc_abx

SHAPE_FIGURES = ("effective_rank", "inertia_share", "davies_bouldin")


def probe_metrics(facts: ScoresFacts) -> dict[str, float]:
    """The best layer's figures where held-out speech was judged, those of MFCC, and those of each layer."""
    return {name: value for name, value in _figures(facts) if value is not None}


def _figures(facts: ScoresFacts) -> Iterator[tuple[str, float | None]]:
    if facts.judged_on == "valid":  # a gate may compare nothing that is measured on what was trained on
        best = {mode: best_abx(facts, mode) for mode in MODES}
        yield "probe/pnmi", facts.best_pnmi
        yield from ((f"probe/abx_{mode}", found and found[1].error) for mode, found in best.items())
    yield "probe/mfcc/pnmi", facts.mfcc_pnmi
    yield from ((f"probe/mfcc/abx_{mode}", mfcc_abx(facts, mode)) for mode in MODES)
    for item in (item for item in facts.scores if item.layer):
        yield f"probe/layer{item.layer:02d}/pnmi", item.quality.pnmi
        yield from ((f"probe/layer{item.layer:02d}/abx_{abx.mode}", abx.error) for abx in item.abx)
    for shape in (shape for shape in facts.shapes if shape.layer and not shape.corpus):
        yield from ((f"probe/layer{shape.layer:02d}/{name}", getattr(shape, name)) for name in SHAPE_FIGURES)
