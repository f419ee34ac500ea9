"""Which documents hold which spoken query: by lists of trials, by texts, or by classes of words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pydantic import JsonValue

from wavlm.corpus.targets import Trials, read_trials
from wavlm.errors import BadDataError, Code
from wavlm.evaluation.examples import Example
from wavlm.evaluation.labelled import LabelledCorpus, Row, require
from wavlm.rng import seed_for
from wavlm.specs.pairs import QueryByExample

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")
Documents = tuple[Example, ...]


def find_queries(spec: QueryByExample, corpora: Sequence[LabelledCorpus]) -> list[Example]:
    """The queries of some corpora, each with its documents. One that no document holds is left out.

    Raises BadDataError (TARGET_MISSING) where nothing says which documents hold what.
    """
    find = {"trials": _by_trials, "words": _by_words, "classes": _by_classes}[spec.answers]
    found = [query for corpus in corpora for query in find(spec, corpus)]
    if not found:
        raise BadDataError(
            Code.TARGET_MISSING,
            f"no document holds any query by the rule `{spec.answers}`; in the corpora "
            f"{', '.join(corpus.name for corpus in corpora)}; choose another rule in answers of the task",
        )
    return found


def _by_trials(spec: QueryByExample, corpus: LabelledCorpus) -> Iterator[Example]:
    """The first side of each trial is a query, the other one a document."""
    trials = read_trials(corpus.corpus_dir)
    rows = {row.key: row for row in corpus.rows}
    if lost := sorted({*trials.enrol, *trials.test} - rows.keys()):
        raise BadDataError(
            Code.TARGET_BAD,
            f"{len(lost)} recordings of trials are not in the shards, such as {lost[0]}; of the corpus {corpus.name}; "
            "make shards that leave none out",
        )
    documents = {item.key: item for item in _keep(spec, corpus, [rows[key] for key in sorted({*trials.test})])}
    shared: dict[tuple[str, ...], Documents] = {}  # queries with the same documents have one tuple
    for query, (tried, holds) in _by_query(trials, corpus.name).items():
        keys = tuple(key for key in tried if key in documents)
        known = shared.setdefault(keys, tuple(documents[key] for key in keys))
        yield from _make(corpus, rows[query], known, holds & {*keys})


def _by_query(trials: Trials, corpus: str) -> dict[str, tuple[dict[str, None], set[str]]]:
    """The keys of the documents of each query, and those that hold it."""
    found: dict[str, tuple[dict[str, None], set[str]]] = {}
    for query, document, is_target in zip(trials.enrol, trials.test, trials.is_target, strict=True):
        tried, holds = found.setdefault(query, ({}, set()))
        tried[f"{corpus}/{document}"] = None
        if is_target:
            holds.add(f"{corpus}/{document}")
    return found


def _by_words(spec: QueryByExample, corpus: LabelledCorpus) -> Iterator[Example]:
    """Recordings of few words are queries, those of more are documents. Case and punctuation do not count.

    Nobody knows what a recording without a text holds: it is neither.
    """
    words = {row.key: tuple(_WORD.findall(row.text.casefold())) for row in corpus.rows if row.text is not None}
    if not words:
        raise BadDataError(
            Code.TARGET_MISSING,
            f"none of {len(corpus.rows)} recordings has a text; in the corpus {corpus.name}; give it transcripts, or "
            "choose another rule in answers of the task",
        )
    said = [row for row in corpus.rows if words.get(row.key)]
    queries = [row for row in said if len(words[row.key]) <= spec.max_query_words]
    documents = _keep(spec, corpus, [row for row in said if len(words[row.key]) > spec.max_query_words])
    runs = {
        item.key: _runs(words[item.key.removeprefix(f"{corpus.name}/")], spec.max_query_words) for item in documents
    }
    for row in queries:
        yield from _make(corpus, row, documents, {key for key, found in runs.items() if words[row.key] in found})


def _by_classes(spec: QueryByExample, corpus: LabelledCorpus) -> Iterator[Example]:
    """Each recording is a query for its class among the recordings of other speakers."""
    classes = {f"{corpus.name}/{row.key}": require(row, "class", corpus.name) for row in corpus.rows}
    if unknown := [row.key for row in corpus.rows if not row.speaker]:
        raise BadDataError(
            Code.TARGET_MISSING,
            f"the speaker of {unknown[0]} is not known; in the corpus {corpus.name}; give the corpus a layout that "
            "names speakers",
        )
    every = _keep(spec, corpus, corpus.rows)
    of_speaker = {
        name: tuple(item for item in every if item.speaker != name) for name in {row.speaker for row in corpus.rows}
    }
    for row in corpus.rows:
        documents, wanted = of_speaker[row.speaker], classes[f"{corpus.name}/{row.key}"]
        yield from _make(corpus, row, documents, {item.key for item in documents if classes[item.key] == wanted})


def _make(corpus: LabelledCorpus, row: Row, documents: Documents, holds: set[str]) -> Iterator[Example]:
    if holds:
        target: JsonValue = {"holds": list[JsonValue](sorted(holds))}
        key = f"{corpus.name}/{row.key}"
        yield Example(key, row.speaker, row.part, row.num_samples, row.take, target, row.content, documents)


def _keep(spec: QueryByExample, corpus: LabelledCorpus, rows: Sequence[Row]) -> Documents:
    """At most `max_documents` of the documents, by the hashes of their keys."""
    made = [Example(f"{corpus.name}/{it.key}", it.speaker, it.part, it.num_samples, it.take, None) for it in rows]
    if spec.max_documents is not None and len(made) > spec.max_documents:
        made = sorted(made, key=lambda item: (seed_for(0, "documents", item.key), item.key))[: spec.max_documents]
    return tuple(made)


def _runs(words: Sequence[str], longest: int) -> set[tuple[str, ...]]:
    """All runs of at most so many words."""
    return {
        tuple(words[begin : begin + length])
        for length in range(1, longest + 1)
        for begin in range(len(words) - length + 1)
    }
