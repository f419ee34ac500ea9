"""What a codebook is fitted on: the share of each corpus in its sample, measured or expected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wavlm.labels.facts import CodebookFacts
from wavlm.pipeline.artifacts import Codebook, Model, Shards
from wavlm.pipeline.sampling import read_hours
from wavlm.pipeline.store import Store
from wavlm.shards.facts import ShardsFacts


@dataclass(frozen=True)
class SampleShare:
    """The part of a codebook's sample that comes from one corpus."""

    corpus: str
    share: float | None  # 0 to 1; None: not known before its hours are


def sample_shares(codebook: Codebook, store: Store) -> tuple[SampleShare, ...]:
    """The shares that were drawn if the codebook is complete, else those to expect.

    To be expected are the shares that the recipe gives, or those of the hours: of the shards if they are complete,
    else as the publisher says.
    """
    names = [item.corpus.name for item in codebook.shards]
    if store.is_complete(codebook):
        facts = store.facts(codebook, CodebookFacts).shares
        return _normalise([item.corpus for item in facts], [float(item.frames) for item in facts])
    weights = _expected_weights(codebook, store)
    return _normalise(names, weights) if weights else tuple(SampleShare(name, None) for name in names)


def _expected_weights(codebook: Codebook, store: Store) -> list[float]:
    """A number for each corpus, in proportion to its share; none if they are not known."""
    spec = codebook.spec
    if spec.sampling:
        found = read_hours(codebook.shards, store)
        shares = spec.sampling.shares(found.hours) if found else {}
        of_corpora = dict.fromkeys((item.corpus.name for item in codebook.shards), 0.0)
        for group, share in shares.items():
            of_corpora[group.corpus] += share
        return list(of_corpora.values()) if shares else []
    hours = list(spec.shares) or [_hours(item, store) for item in codebook.shards]
    return hours if all(hours) else [1.0] if len(hours) == 1 else []


def describe_shares(codebook: Codebook, store: Store) -> str:
    """The shares in words: `sample: ab 60 %, cd 40 %`."""
    shares = sample_shares(codebook, store)
    return "sample: " + ", ".join(f"{item.corpus} {_percent(item.share)}" for item in shares)


def sample_rows(model: Model, store: Store) -> Iterator[tuple[str, ...]]:
    """What the codebook of a model was fitted on, a row per corpus: see `wavlm.export.card.SAMPLE_COLUMNS`."""
    if model.codebook is None or not store.is_complete(model.codebook):
        return
    facts = store.facts(model.codebook, CodebookFacts)
    for item, share in zip(facts.shares, sample_shares(model.codebook, store), strict=True):
        figures = (_percent(share.share), f"{item.utterances:,}", f"{item.speakers:,}", f"{item.hours:,.1f}")
        yield (f"iteration {model.iteration}", item.corpus, *figures)


def _hours(shards: Shards, store: Store) -> float:
    """Hours to train on of a corpus: of its shards, else as its publisher says; 0 if nobody knows."""
    if store.is_complete(shards):
        return store.facts(shards, ShardsFacts).train_hours
    return shards.corpus.spec.expected_hours


def _normalise(names: list[str], weights: list[float]) -> tuple[SampleShare, ...]:
    total = sum(weights) or 1.0
    return tuple(SampleShare(name, weight / total) for name, weight in zip(names, weights, strict=True))


def _percent(share: float | None) -> str:
    return "?" if share is None else f"{share:.1%}"
