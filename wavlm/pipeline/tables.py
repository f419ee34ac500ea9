"""The summary of a run as named tables, for the terminal and for Prefect."""

from __future__ import annotations

from collections.abc import Iterator

from wavlm.pipeline.results import IterationResults
from wavlm.pipeline.summary import Summary

Row = dict[str, str]


def tables(summary: Summary) -> Iterator[tuple[str, list[Row]]]:
    """Corpora, iterations and versions; a table without rows is left out."""
    for name, rows in (
        ("corpora", _corpora(summary)),
        ("iterations", [_iteration(item) for item in summary.results]),
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
