"""Rows of tables that take more than looking up a value: what became of the audio, validation, effects, reuse."""

from __future__ import annotations

from dataclasses import dataclass, fields

from wavlm.pipeline.report.content import CorpusPart, MadePart, Report
from wavlm.shards.facts import ShardsFacts

_SETS = {"valid": "all held-out speech", "valid_mixed": "the fixed mixtures"}  # by prefix of the metrics; else a corpus


@dataclass(frozen=True)
class AccountRow:
    """What became of the recordings of a corpus: `found` = `used` + `excluded` + `refused`."""

    corpus: str
    found: int
    used: int
    excluded: int
    refused: int
    hours_used: float
    hours_excluded: float
    hours_refused: float
    unmeasured: int
    why: tuple[tuple[str, int, str], ...]  # reason, count, what is counted


@dataclass(frozen=True)
class ValidationRow:
    """The last figures of one set that the model was validated on; None: not measured."""

    name: str
    utterances: float | None
    loss: float | None
    masked_loss: float | None
    masked_accuracy: float | None
    unmasked_accuracy: float | None
    majority: float | None
    label_entropy: float | None

    @property
    def is_corpus(self) -> bool:
        return self.name not in _SETS.values()


@dataclass(frozen=True)
class Reuse:
    """What was there before this iteration began, and what was made for it."""

    before: tuple[MadePart, ...]
    new: tuple[MadePart, ...]

    @staticmethod
    def seconds(parts: tuple[MadePart, ...]) -> float | None:
        known = [item.seconds for item in parts if item.seconds is not None]
        return sum(known) if known else None


def account(report: Report) -> tuple[AccountRow, ...]:
    """One row per corpus whose shards are there."""
    return tuple(_account(corpus, corpus.packed) for corpus in report.corpora if corpus.packed)


def _account(corpus: CorpusPart, facts: ShardsFacts) -> AccountRow:
    kinds = (
        (facts.rejected, "recordings refused"),
        (facts.rejected_pieces, "pieces refused"),
        (facts.excluded, "recordings excluded"),
        (facts.notes, "recordings used, with a note"),
    )
    return AccountRow(
        corpus.spec.name,
        facts.recordings,
        facts.recordings_used,
        sum(facts.excluded.values()),
        sum(facts.rejected.values()),
        _hours(facts.samples_used, facts),
        _hours(facts.samples_excluded, facts),
        _hours(facts.samples_refused, facts),
        facts.unmeasured,
        tuple((why, count, what) for causes, what in kinds for why, count in sorted(causes.items())),
    )


def _hours(samples: int, facts: ShardsFacts) -> float:
    return samples / facts.sample_rate_hz / 3600


def validation(report: Report) -> tuple[ValidationRow, ...]:
    """One row per set that the curve has last figures of: all held-out speech, the fixed mixtures, each corpus."""
    found = {name.rpartition("/")[0] for name in report.curves if name.startswith("valid")}
    found = {name for name in found if not name.startswith("valid_language/")}  # they have a table of their own
    sets = [*(item for item in _SETS if item in found), *sorted(found - set(_SETS))]
    return tuple(_validation(report, item, _SETS.get(item, item.partition("/")[2] or item)) for item in sets)


def _validation(report: Report, prefix: str, name: str) -> ValidationRow:
    def last(metric: str) -> float | None:
        curve = report.curves.get(f"{prefix}/{metric}")
        return curve.last if curve else None

    return ValidationRow(name, *(last(field.name) for field in fields(ValidationRow)[1:]))


def effects(report: Report) -> tuple[tuple[str, int, float | None], ...]:
    """Each thing that mixing did in training: what, to how many utterances, and their share."""
    mixing = report.results.mixing
    if mixing is None:
        return ()
    rows = [("speech of another utterance", mixing.with_speech), ("noise", mixing.with_noise)]
    rows += [(name.replace("_", " "), count) for name, count in mixing.effects.items()]
    every = mixing.utterances
    return tuple((name, count, count / every if every else None) for name, count in rows)


def findings(report: Report) -> tuple[str, ...]:
    """The sentences about the iteration, without its number, which the page has at its top."""
    prefix = f"Iteration {report.model.iteration}: "
    return tuple(text[:1].upper() + text[1:] for text in (item.removeprefix(prefix) for item in report.findings))


def reuse(report: Report) -> Reuse:
    """Split the artifacts at this iteration."""
    is_before = {item.artifact.key: item.first_iteration < report.model.iteration for item in report.made}
    return Reuse(
        tuple(item for item in report.made if is_before[item.artifact.key]),
        tuple(item for item in report.made if not is_before[item.artifact.key]),
    )
