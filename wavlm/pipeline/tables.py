"""The summary of a run as named tables, for the terminal and for Prefect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wavlm.corpus.facts import CorpusFacts
from wavlm.evaluation.facts import MODES, ScoresFacts
from wavlm.evaluation.fast.words import best_abx
from wavlm.evaluation.results.board import rows_of, synthetic_rows_of
from wavlm.pipeline.results import IterationResults
from wavlm.pipeline.summary import CorpusSummary, Summary
from wavlm.shards.facts import ShardsFacts
from wavlm.specs import EffectName

Row = dict[str, str]

MOST_LANGUAGES = 30  # of a table for the terminal


def tables(summary: Summary) -> Iterator[tuple[str, list[Row]]]:
    """Corpora, their account, iterations, parts of speech, evaluations, mixing, versions; none that has no rows."""
    for name, rows in (
        ("corpora", [_corpus(item) for item in summary.corpora]),
        ("account", [row for item in summary.corpora for row in _account(item)]),
        ("iterations", [_iteration(item) for item in summary.results]),
        ("speech", list(_parts(summary))),
        ("evaluations", rows_of(summary.board)),
        ("evaluations-synthetic", synthetic_rows_of(summary.board)),  # a part of the key of what Prefect shows
        ("mixing", list(_mixing(summary))),
        ("versions", _versions(summary)),
    ):
        if rows:
            yield name, rows


def _corpus(corpus: CorpusSummary) -> Row:
    facts = corpus.facts
    return {
        "corpus": corpus.name,
        "role": corpus.role,
        "hours of train": f"{facts.train_hours:.2f}",
        "hours of valid": f"{facts.valid_hours:.2f}",
        "utterances": str(facts.utterances),
        "speakers": str(facts.speakers),
        "rejected": _counts(facts.rejected) or "0",
    }


def _account(corpus: CorpusSummary) -> Iterator[Row]:
    """Recordings, seconds and samples: in = used + excluded + refused, exactly."""
    facts = corpus.facts
    if corpus.found:
        yield from _found(corpus.name, corpus.found)
    excluded, rejected = sum(facts.excluded.values()), sum(facts.rejected.values())
    counts = (facts.samples, facts.samples_used, facts.samples_excluded, facts.samples_refused)
    hours = (_hours(count, facts) for count in counts)
    yield _account_row(corpus.name, "recordings packed", facts.recordings, facts.recordings_used, excluded, rejected)
    yield _account_row(corpus.name, f"samples at {facts.sample_rate_hz / 1000:g} kHz", *counts)
    yield {**_account_row(corpus.name, "hours", *hours), "remarks": "; ".join([*_remarks(facts), *_say_reuse(facts)])}


def _found(name: str, facts: CorpusFacts) -> Iterator[Row]:
    """What the files of the corpus gave to its manifest, before any was decoded."""
    if facts.files:
        left = _counts({item.cause: item.files for item in facts.files.left_out})
        counts = (facts.files.found, facts.files.used, facts.files.found - facts.files.used, "")
        yield {**_account_row(name, "files", *counts), "remarks": left}
    used = (facts.train, facts.valid)
    left_out = facts.excluded.values()
    recordings = (sum(item.recordings for item in items) for items in ([facts.found], used, left_out))
    times = (sum(item.microseconds for item in items) for items in ([facts.found], used, left_out))
    left = _counts({why: item.recordings for why, item in facts.excluded.items()})
    rule = f"valid by {facts.split_rule}" + (f" below {facts.split_below:g}" if facts.split_below else "")
    remarks = "; ".join(filter(None, (rule, left)))
    yield _account_row(name, "recordings found", *recordings, 0)
    hours = (f"{time / 3.6e9:.4f}" for time in times)
    yield {**_account_row(name, "hours by their headers", *hours, ""), "remarks": remarks}


def _account_row(name: str, unit: str, *counts: object) -> Row:
    columns = ("in", "used", "excluded", "refused")
    return {"corpus": name, "unit": unit, **{column: str(count) for column, count in zip(columns, counts, strict=True)}}


def _remarks(facts: ShardsFacts) -> Iterator[str]:
    """What the numbers of an account do not say."""
    if facts.excluded:
        yield f"excluded: {_counts(facts.excluded)}"
    if facts.rejected_pieces:
        yield f"pieces of used recordings: {_counts(facts.rejected_pieces)}"
    if facts.unmeasured:
        yield f"{facts.unmeasured} refused recordings cannot be decoded to their end: their samples are in no number"
    yield from _remarks_on_regions(facts)
    if facts.clipped_samples:
        yield f"{facts.clipped_samples} samples clipped to full scale"
    if facts.notes:
        yield _counts(facts.notes)
    if set(facts.channels) - {"1"}:
        yield ", ".join(f"{count} of {channels} channels" for channels, count in facts.channels.items())
    if facts.gap_samples:
        yield f"{facts.gap_samples} samples of silence between joined recordings"


def _remarks_on_regions(facts: ShardsFacts) -> Iterator[str]:
    """Regions of files, and pieces of long recordings."""
    if facts.samples_outside:
        yield f"{_hours(facts.samples_outside, facts)} h of the files are in no region"
    if facts.samples_repeated:
        yield f"{_hours(facts.samples_repeated, facts)} h are counted again, because regions overlap"
    if facts.cuts:
        yield f"cuts of long recordings: {_counts(facts.cuts)}"


def _hours(samples: int, facts: ShardsFacts) -> str:
    return f"{samples / facts.sample_rate_hz / 3600:.4f}"


def _say_reuse(facts: ShardsFacts) -> Iterator[str]:
    if facts.parts_reused:
        yield f"{facts.parts_reused:,} parts taken over from another generation"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))


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
    return row | (_abx(result.scores) if result.scores else {})


def _abx(scores: ScoresFacts) -> Row:
    """The lowest ABX errors."""
    best = {mode: best_abx(scores, mode) for mode in MODES}
    return {f"ABX {mode}": f"{found[1].error:.3f} (layer {found[0]})" for mode, found in best.items() if found}


def _parts(summary: Summary) -> Iterator[Row]:
    """What each of several corpora and languages is, and what came of it; of many languages those with most hours."""
    for result in summary.results:
        languages = [item for item in result.parts if item.kind == "language"]
        shown = [item for item in result.parts if item.kind == "corpus"] + languages[:MOST_LANGUAGES]
        for item in shown:
            yield {
                "iteration": str(result.iteration),
                "of": f"{item.kind} {item.name}",
                "rejected": "" if item.rejected is None else f"{item.rejected} of {item.recordings}",
                "hours of train": _number(item.train_hours, 2),
                "hours heard": _number(item.heard_hours, 2),
                "times": _number(item.times_heard, 2),
                "valid loss": _number(item.valid_loss, 3),
                "masked accuracy": _share(item.masked_accuracy),
                "PNMI": _number(item.pnmi, 3),
            }
        if len(languages) > MOST_LANGUAGES:
            yield {
                "iteration": str(result.iteration),
                "of": f"{len(languages) - MOST_LANGUAGES} more languages: see the report page",
            }


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _mixing(summary: Summary) -> Iterator[Row]:
    """What was mixed in, and which effects were applied: in each training, and in the fixed mixtures."""
    for facts in summary.mixtures:
        yield {
            "in": "fixed mixtures",
            "utterances": str(facts.utterances),
            "with speech": str(facts.with_speech),
            "with noise": str(facts.with_noise),
            "heard": str(facts.heard),
            "effects": _applied(facts.effects),
        }
    for result in summary.results:
        if mixing := result.mixing:
            yield {
                "in": f"iteration {result.iteration}",
                "utterances": str(mixing.utterances),
                "with speech": _at_ratio(mixing.with_speech, mixing.mean_speech_ratio_db),
                "with noise": _at_ratio(mixing.with_noise, mixing.mean_noise_ratio_db),
                "effects": _applied(mixing.effects),
            }


def _at_ratio(count: int, mean_ratio_db: float | None) -> str:
    return str(count) if mean_ratio_db is None else f"{count} at {mean_ratio_db:.1f} dB"


def _applied(effects: Mapping[EffectName, int]) -> str:
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
