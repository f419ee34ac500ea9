"""The summary of a run as named tables, for the terminal and for Prefect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wavlm.pipeline.results import IterationResults
from wavlm.pipeline.summary import Summary
from wavlm.specs import EffectName

Row = dict[str, str]


def tables(summary: Summary) -> Iterator[tuple[str, list[Row]]]:
    """Corpora, iterations, mixing and versions; a table without rows is left out."""
    for name, rows in (
        ("corpora", _corpora(summary)),
        ("iterations", [_iteration(item) for item in summary.results]),
        ("mixing", list(_mixing(summary))),
        ("versions", _versions(summary)),
    ):
        if rows:
            yield name, rows


def _corpora(summary: Summary) -> list[Row]:
    return [
        {
            "corpus": item.name,
            "role": item.role,
            "hours": f"{item.hours:.2f}",
            "utterances": str(item.utterances),
            "speakers": str(item.speakers),
            "rejected": ", ".join(f"{count} {reason}" for reason, count in item.rejected) or "0",
        }
        for item in summary.corpora
    ]


def _iteration(result: IterationResults) -> Row:
    row = {"iteration": str(result.iteration)}
    if quality := result.quality:
        row |= {
            "labels": f"{quality.features}, K={quality.num_clusters}",
            "PNMI": f"{quality.pnmi:.3f}",
            "phone purity": f"{quality.phone_purity:.3f}",
        }
    if training := result.training:
        row |= {
            "updates": str(training.updates),
            "train loss": _ends(training.train_loss),
            "valid loss": _ends(training.valid_loss),
            "masked accuracy": _share(training.masked_accuracy),
            "on mixtures": _share(training.mixed_accuracy),
            "commonest label": _share(training.majority),
        }
    if (layers := result.layers) and layers.pnmi:
        best = max(layers.pnmi, key=lambda layer: layers.pnmi[layer])
        row |= {
            "best layer's PNMI": f"{layers.pnmi[best]:.3f} (layer {best})",
            "MFCC's": f"{layers.mfcc_pnmi:.3f}",
        }
    return row


def _mixing(summary: Summary) -> Iterator[Row]:
    """What was mixed in, and which effects were applied: in each training, and in the fixed mixtures."""
    for facts in summary.mixtures:
        yield {
            "in": "fixed mixtures",
            "utterances": str(facts.utterances),
            "with speech": str(facts.with_speech),
            "with noise": str(facts.with_noise),
            "heard": str(facts.heard),
            "effects": _counts(facts.effects),
        }
    for result in summary.results:
        if mixing := result.mixing:
            yield {
                "in": f"iteration {result.iteration}",
                "utterances": str(mixing.utterances),
                "with speech": _at_ratio(mixing.with_speech, mixing.mean_speech_ratio_db),
                "with noise": _at_ratio(mixing.with_noise, mixing.mean_noise_ratio_db),
                "effects": _counts(mixing.effects),
            }


def _at_ratio(count: int, mean_ratio_db: float | None) -> str:
    return str(count) if mean_ratio_db is None else f"{count} at {mean_ratio_db:.1f} dB"


def _counts(effects: Mapping[EffectName, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in effects.items()) or "none"


def _versions(summary: Summary) -> list[Row]:
    return [
        {
            "iteration": str(item.iteration),
            "model": item.name,
            "version": str(item.version),
            "aliases": ", ".join(item.aliases),
            "champion": item.champion,
        }
        for item in summary.versions
    ]


def _ends(ends: tuple[float, float] | None) -> str:
    return f"{ends[0]:.3f} to {ends[1]:.3f}" if ends else ""


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"
