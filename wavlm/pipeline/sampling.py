"""How often training takes speech of each corpus and language: expected from hours, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from wavlm.corpus.facts import CorpusFacts
from wavlm.pipeline.artifacts import Model, Shards
from wavlm.pipeline.store import Store
from wavlm.shards.facts import ShardsFacts
from wavlm.specs import UNKNOWN_LANGUAGE, Group

SHOWN = 6  # groups of a line of the plan: those that are taken most often, and least often


@dataclass(frozen=True)
class GroupHours:
    """The hours to train on of each corpus and language."""

    hours: dict[Group, float]
    are_measured: bool  # False: as far as publishers say; which languages there are is then not known


def read_hours(shards: Iterable[Shards], store: Store) -> GroupHours | None:
    """From shards or corpora that the store holds, else from expected hours; None if those of one are not known."""
    hours: dict[Group, float] = {}
    are_measured = True
    for item in shards:
        found, is_measured = _hours_of(item, store)
        if not any(found.values()):
            return None
        hours |= {Group(item.corpus.name, language): value for language, value in found.items()}
        are_measured &= is_measured
    return GroupHours(hours, are_measured)


def describe_times(model: Model, store: Store) -> str:
    """How often an epoch takes an utterance of each group: `per epoch: ab cs 3.1 times, ab en 0.6 times`."""
    sampling = model.train.sampling
    if sampling is None:
        return ""
    found = read_hours(model.shards, store)
    if found is None:
        return "per epoch: not known before the hours of its speech are"
    times = sampling.times(found.hours)
    by_language = len({group.language for group in times}) > 1
    named = [
        f"{group.corpus}{f' {group.language}' if by_language else ''} {value:.3g} times"
        for group, value in sorted(times.items(), key=lambda item: (-item[1], item[0]))
    ]
    left_out = len(named) - SHOWN
    if left_out > 0:
        named[SHOWN // 2 : -SHOWN // 2] = [f"{left_out} groups between"]
    return f"per epoch: {', '.join(named)}"


def _hours_of(shards: Shards, store: Store) -> tuple[dict[str, float], bool]:
    """The hours of train of each language of one corpus, and whether they are measured."""
    spec = shards.corpus.spec
    language = spec.language or UNKNOWN_LANGUAGE
    if store.is_complete(shards):
        facts = store.facts(shards, ShardsFacts)
        return {name: item.train_hours for name, item in facts.languages.items()} or {language: facts.train_hours}, True
    if store.is_complete(shards.corpus):
        found = store.facts(shards.corpus, CorpusFacts)
        if not found.hours_per_language:
            return {language: found.train_hours}, True
        rest = found.hours - sum(found.hours_per_language.values())
        return {**found.hours_per_language, **({UNKNOWN_LANGUAGE: rest} if rest > 0.01 else {})}, True
    return {language: spec.expected_hours}, False
