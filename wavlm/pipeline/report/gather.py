"""Gather what a report says from the artifacts of the store. Nothing is drawn here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TypeVar

import numpy as np

from wavlm.corpus.facts import CorpusFacts
from wavlm.evaluation.facts import ScoresFacts
from wavlm.labels.facts import CodebookFacts, LabelsFacts
from wavlm.labels.histogram import count_labels
from wavlm.pipeline.artifacts import Artifact, Export, Labels, Model, Registration, Shards, keep_latest, lineage
from wavlm.pipeline.curves import read_curves
from wavlm.pipeline.findings import findings
from wavlm.pipeline.plan import scores_of
from wavlm.pipeline.record import read_size
from wavlm.pipeline.registration import RegistrationFacts
from wavlm.pipeline.report.content import CorpusPart, Histogram, LabelsPart, MadePart, Report
from wavlm.pipeline.report.listening import gather_mixtures
from wavlm.pipeline.results import IterationResults
from wavlm.pipeline.scoreboard import board_of, systems_board_of
from wavlm.pipeline.shares import sample_shares
from wavlm.pipeline.store import Store
from wavlm.pipeline.summary import summarise
from wavlm.shards.facts import ShardsFacts
from wavlm.shards.rejects import Reject, read_rejects, rejects_path
from wavlm.specs import Recipe
from wavlm.storage.facts import Facts
from wavlm.storage.seals import sealed_files

COUNTED_LABELS = 5_000_000  # of all corpora together: reading them takes about a second
EXAMPLES = 3  # refused recordings per corpus and reason
MOST_REJECTS = 200_000  # whose list is still read for examples

F = TypeVar("F", bound=Facts)


def gather_report(model: Model, recipe: Recipe, store: Store, registration: RegistrationFacts | None = None) -> Report:
    """All that a report says about the model of one iteration.

    `registration`: what the registry answered, if the store does not hold it yet. Raises BadDataError if the model is
    not complete, or if a file that the page is made from is damaged. What was removed from the store is `None`.
    """
    store.require(model)
    results = _results_of(model, recipe, store)
    scores = scores_of(model, recipe)
    registered = Registration(recipe.registry_name, model)
    codebook = model.codebook
    return Report(
        model=model,
        recipe=recipe,
        results=results[-1],
        before=results[:-1],
        findings=tuple(_select_findings(results)),
        training=dict(store.facts(model, _AnyFacts).model_extra or {}),
        curves=read_curves(store.path(model)),
        corpora=tuple(_corpora(model, store)),
        codebook=_facts(codebook, CodebookFacts, store) if codebook else None,
        labels=tuple(LabelsPart(item.name, _facts(item, LabelsFacts, store)) for item in model.labels),
        histogram=_histogram(model.labels, store),
        scores=_facts(scores, ScoresFacts, store) if scores else None,
        mixtures=gather_mixtures(model.mixtures, store) if model.mixtures else None,
        made=tuple(_made(model, [*([scores] if scores else []), Export(model)], store)),
        registration=registration or _facts(registered, RegistrationFacts, store),
        board=board_of(model, recipe, store),
        systems=systems_board_of(model, recipe, store),
    )


class _AnyFacts(Facts, extra="allow"):
    """Facts with all their fields, whoever wrote them."""


def _facts(artifact: Artifact, form: type[F], store: Store) -> F | None:
    return store.facts(artifact, form) if store.is_complete(artifact) else None


def _results_of(model: Model, recipe: Recipe, store: Store) -> tuple[IterationResults, ...]:
    """What the model and its teachers achieved, first iteration first."""
    chain = [item for item in lineage([model]) if isinstance(item, Model)]
    scores = [found for item in chain if (found := scores_of(item, recipe))]
    return summarise([*chain, *scores], store).results


def _select_findings(results: Sequence[IterationResults]) -> Iterator[str]:
    """The sentences on the last iteration, and on it against the one before."""
    before = set(findings(results[:-1]))
    yield from (sentence for sentence in findings(results) if sentence not in before)


def _corpora(model: Model, store: Store) -> Iterator[CorpusPart]:
    """Speech first, then noise and rooms, each corpus once."""
    shares = {}
    if model.codebook:
        names = [item.corpus.name for item in model.codebook.shards]
        found = sample_shares(model.codebook, store)
        shares = {name: item.share for name, item in zip(names, found, strict=True)} if len(names) == len(found) else {}
    made_from = lineage([model, *([model.mixtures] if model.mixtures else [])])
    every = [item for item in keep_latest(made_from) if isinstance(item, Shards)]
    for shards in sorted(every, key=lambda item: ("speech", "noise", "room").index(item.corpus.spec.role)):
        packed = _facts(shards, ShardsFacts, store)
        yield CorpusPart(
            spec=shards.corpus.spec,
            found=_facts(shards.corpus, CorpusFacts, store),
            packed=packed,
            examples=tuple(_examples(shards, packed, store)) if packed else (),
            share=shares.get(shards.corpus.name),
        )


def _examples(shards: Shards, facts: ShardsFacts, store: Store) -> Iterator[Reject]:
    """The first refused recordings and pieces of each reason."""
    counts = [*facts.rejected.values(), *facts.rejected_pieces.values()]
    path = store.path(shards)
    if not 0 < sum(counts) + sum(facts.excluded.values()) <= MOST_REJECTS or rejects_path(
        path
    ).name not in sealed_files(path):
        return
    rejects = [item for item in read_rejects(path) if item.reason not in facts.excluded]
    for _, items in groupby(sorted(rejects, key=lambda item: item.reason), key=lambda item: item.reason):
        yield from list(items)[:EXAMPLES]


def _histogram(labels: Sequence[Labels], store: Store) -> Histogram | None:
    """How often each label occurs, over the corpora whose labels are there; None if no label could be counted."""
    there = [item for item in labels if store.is_complete(item)]
    if not there:
        return None
    num_clusters = there[0].codebook.spec.num_clusters
    enough = COUNTED_LABELS // len(there)
    counts = np.sum([count_labels(store.path(item), num_clusters, enough) for item in there], axis=0)
    total = sum(store.facts(item, LabelsFacts).num_labels for item in there)
    return Histogram(tuple(int(count) for count in counts), total) if counts.any() else None


def _made(model: Model, products: Sequence[Artifact], store: Store) -> Iterator[MadePart]:
    """The lineage of a model, inputs first, its mixtures, and what was made from it."""
    first_iteration: dict[str, int] = {}
    for item in lineage([model]):
        if isinstance(item, Model):
            for part in lineage([item, *([item.mixtures] if item.mixtures else [])]):
                first_iteration.setdefault(part.key, item.iteration)
    for item in lineage([*([model.mixtures] if model.mixtures else []), model, *products]):
        is_there = store.is_complete(item)
        record = store.head(item) if is_there else None
        yield MadePart(
            artifact=item,
            folder=str(store.path(item).relative_to(store.root)),
            first_iteration=first_iteration.get(item.key, model.iteration),
            finished_unix=record.finished_unix if record else None,
            seconds=record.seconds if record else None,
            num_bytes=read_size(store.path(item))[1] if is_there else None,
            versions=record.versions if record else {},
        )
