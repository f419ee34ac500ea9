"""Which layer to cluster next, and why: a sentence that is computed from the scores.

PNMI decides, because it measures what is done next: k-means on the layer. Where the PNMI of layers differ by less than
other seeds of k-means make, ABX within speakers decides between them. Effective rank and cluster quality never do: they
differ between layers for reasons that have nothing to do with phones.
"""

from __future__ import annotations

from wavlm.evaluation.facts import LayerScore, ScoresFacts

CLOSE_PNMI = 0.005


def advise_layer(facts: ScoresFacts) -> ScoresFacts:
    """The same facts, with the layer that is advised and the sentence about it."""
    layers = [item for item in facts.scores if item.layer]
    if not layers:
        return facts.model_copy(update={"advice": _without_phones(facts)})
    best = max(layers, key=lambda item: item.quality.pnmi)
    close = [item for item in layers if best.quality.pnmi - item.quality.pnmi < CLOSE_PNMI]
    errors = {item.layer: error for item in layers if (error := item.abx_error("within")) is not None}
    chosen = min(close, key=lambda item: errors[item.layer]) if errors else best
    why = f"{_reason(chosen, best, close, errors)}{_remark_on_mfcc(chosen, facts)}"
    return facts.model_copy(
        update={"advised_layer": chosen.layer, "advice": f"cluster layer {chosen.layer} next: {why}"}
    )


def _reason(chosen: LayerScore, best: LayerScore, close: list[LayerScore], errors: dict[int, float]) -> str:
    pnmi = f"PNMI {chosen.quality.pnmi:.3f}"
    if len(close) > 1 and errors:
        others = ", ".join(str(item.layer) for item in close)
        return (
            f"{pnmi} is within {CLOSE_PNMI} of the highest, {best.quality.pnmi:.3f} (layers {others}), and of these it "
            f"has the lowest ABX error within speakers, {errors[chosen.layer]:.3f}"
        )
    reason = f"its PNMI is the highest, {chosen.quality.pnmi:.3f}"
    if not errors:
        return reason
    lowest = min(errors, key=lambda layer: errors[layer])
    if lowest == chosen.layer:
        return f"{reason}, and its ABX error within speakers the lowest, {errors[lowest]:.3f}"
    return (
        f"{reason}; ABX within speakers is lowest in layer {lowest}, {errors[lowest]:.3f} against "
        f"{errors[chosen.layer]:.3f}"
    )


def _remark_on_mfcc(chosen: LayerScore, facts: ScoresFacts) -> str:
    if facts.mfcc_pnmi is None or chosen.quality.pnmi > facts.mfcc_pnmi:
        return ""
    return f". But MFCC has {facts.mfcc_pnmi:.3f}: labels of this layer may be no better than those of MFCC"


def _without_phones(facts: ScoresFacts) -> str | None:
    if not facts.shapes:
        return None
    deepest = max(shape.layer for shape in facts.shapes)
    return (
        "no layer is advised: there is no PNMI, for want of speech with timed phones. Effective rank and cluster "
        "quality compare checkpoints of one layer, not layers. HuBERT and WavLM clustered half to three quarters "
        f"of the depth: layer {-(-deepest // 2)} to {max(1, deepest * 3 // 4)} of {deepest}"
    )
