"""Query by example: the frames of a spoken query are looked for in documents. Nothing is trained.

A target is {"holds": [keys of the documents that hold the query]}. A prediction is {"scores": {key of a document:
score}}: how many deviations the match is above the mean of the query's matches.

Legend: Q frames of a query, F frames, B documents, D channels, N trials.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor

from wavlm.errors import BadDataError, Code
from wavlm.evaluation.examples import Example
from wavlm.evaluation.features.cache import Features
from wavlm.evaluation.labelled import LabelledCorpus
from wavlm.evaluation.metrics.checks import Floats
from wavlm.evaluation.metrics.detection import search_trials
from wavlm.evaluation.metrics.intervals import Sides
from wavlm.evaluation.results.facts import Figure
from wavlm.evaluation.results.figures import figure_of_trials
from wavlm.evaluation.tasks.answers import find_queries
from wavlm.evaluation.tasks.task import Size
from wavlm.evaluation.tasks.warping import SMALLEST, match_costs
from wavlm.specs.pairs import QueryByExample

BLOCK_FRAMES = 16_384  # of documents that are compared at once: distances to a query of 2 s then take 7 to 13 MB


@dataclass(frozen=True)
class SpokenQuery:
    """Which documents hold a query."""

    spec: QueryByExample

    @property
    def is_pooled(self) -> bool:
        return False

    def collect(self, corpora: Sequence[LabelledCorpus], noise: Sequence[LabelledCorpus] = ()) -> list[Example]:  # noqa: ARG002
        return find_queries(self.spec, corpora)

    def class_of(self, example: Example) -> str:  # noqa: ARG002
        return ""

    def for_training(self, example: Example) -> Example | None:
        return example

    def begin(self, train: Sequence[Example], others: Sequence[Example]) -> Searcher:  # noqa: ARG002
        return Searcher(self.spec)


@dataclass(frozen=True)
class Searcher:
    """The search for queries in their documents."""

    spec: QueryByExample

    def check(self, size: Size) -> None:
        """Any size will do."""

    def check_parts(self, dev: Sequence[Example], test: Sequence[Example]) -> None:
        """Raise BadDataError (METRIC_UNDEFINED) for a part whose queries all documents hold."""
        for name, part in (("dev", dev), ("test", test)):
            if all(len(_holds(item)) == len(item.compared_with) for item in part):
                raise BadDataError(
                    Code.METRIC_UNDEFINED,
                    f"each of the {len(part)} queries of the {name} part is in all of its documents, expected some "
                    "without it; in the evaluation's data; add documents",
                )

    def compare(self, examples: Sequence[Example], features: Features, state: int, device: str) -> list[JsonValue]:
        """How well each query matches each of its documents, by one state.

        Channels are brought to mean 0 and variance 1 over the frames of these queries and their documents, as the
        reference does.
        """
        documents = {item.key: item for query in examples for item in query.compared_with}
        keys = list({**{query.key: None for query in examples}, **dict.fromkeys(documents)})
        normalise = _Normaliser(features, keys, state, device)
        queries = {query.key: normalise(query.key) for query in examples}
        costs: dict[str, dict[str, float]] = {query.key: {} for query in examples}
        with torch.inference_mode():
            for block in _blocks(documents, features):
                padded, num_frames = _pad([normalise(key) for key in block])
                for query in examples:
                    if len(queries[query.key]) >= self.spec.min_query_frames:
                        found = match_costs(queries[query.key], padded, num_frames, self.spec.distance).tolist()
                        costs[query.key].update(zip(block, found, strict=True))
        return [{"scores": _deviations(query, costs[query.key])} for query in examples]

    def score(
        self, examples: Sequence[Example], predictions: Sequence[JsonValue], *, with_intervals: bool = True
    ) -> tuple[Figure, ...]:
        """MTWV, and the value of the decisions that a document above the threshold holds the query (ATWV)."""
        names, keys, scores, is_target = search_pairs(examples, predictions)
        trials = search_trials(names, scores, is_target)
        found = np.array(scores) > self.spec.decision_deviations
        sides = _sides(examples, names, keys) if with_intervals else None
        note = (
            f"{len(names):,} trials of {len(examples)} queries and {len({*keys})} documents, {sum(is_target):,} hold it"
        )
        decided = f"a document holds the query above {self.spec.decision_deviations:g} deviations"

        def mtwv(weights: Floats) -> float:
            return trials.mtwv(weights=weights).value

        def atwv(weights: Floats) -> float:
            return trials.twv(found, weights=weights)

        return (
            figure_of_trials("mtwv", trials.mtwv().value, mtwv, sides, note=note),
            figure_of_trials("atwv", trials.twv(found), atwv, sides, note=decided),
        )


def search_pairs(
    examples: Sequence[Example], predictions: Sequence[JsonValue]
) -> tuple[list[str], list[str], list[float], list[bool]]:
    """Of each trial its query, its document, its score, and whether the document holds the query: all (N,)."""
    rows = [
        (query.key, key, score, key in wanted)
        for query, wanted, found in zip(examples, map(_holds, examples), predictions, strict=True)
        for key, score in _scores(found).items()
    ]
    names, keys, scores, is_target = zip(*rows, strict=True)
    return list(names), list(keys), list(scores), list(is_target)


class _Normaliser:
    """Frames of one state with mean 0 and variance 1 per channel over some examples, then of length 1."""

    def __init__(self, features: Features, keys: Iterable[str], state: int, device: str) -> None:
        self._features, self._state, self._device = features, state, device
        count, total, squares = 0, np.zeros(1), np.zeros(1)
        for key in keys:
            frames = features.read_state(key, state).astype(np.float64)
            count, total, squares = count + len(frames), total + frames.sum(0), squares + (frames**2).sum(0)
        self._mean = total / count
        variance = np.maximum(squares / count - self._mean**2, 0.0) * count / max(count - 1, 1)
        self._deviation = np.maximum(np.sqrt(variance), SMALLEST)

    def __call__(self, key: str) -> Tensor:
        """(F, D)"""
        frames = (self._features.read_state(key, self._state) - self._mean) / self._deviation
        return torch.nn.functional.normalize(torch.from_numpy(frames.astype(np.float32)).to(self._device), dim=1)


def _blocks(documents: Mapping[str, Example], features: Features) -> Iterator[list[str]]:
    """Documents of similar length, so many that they have `BLOCK_FRAMES` frames with their padding, or one."""
    block: list[str] = []
    for key in sorted(documents, key=lambda key: (features.count(key), key)):
        if block and (len(block) + 1) * features.count(key) > BLOCK_FRAMES:
            yield block
            block = []
        block.append(key)
    if block:
        yield block


def _pad(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Frames of several documents as one tensor (B, F, D), and how many each has (B,)."""
    counts = torch.tensor([len(row) for row in rows], device=rows[0].device)
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True), counts


def _deviations(query: Example, costs: Mapping[str, float]) -> dict[str, JsonValue]:
    """Matches as deviations from their mean over the documents of a query; all 0 for a query that is too short."""
    keys = [item.key for item in query.compared_with]
    values = np.array([-costs.get(key, 0.0) for key in keys])
    scaled = (values - values.mean()) / max(float(values.std()), SMALLEST)
    return dict(zip(keys, scaled.tolist(), strict=True))


def _scores(prediction: JsonValue) -> Mapping[str, float]:
    return prediction["scores"]  # type: ignore[index,call-overload,return-value]


def _holds(query: Example) -> frozenset[str]:
    return frozenset(query.target["holds"])  # type: ignore[index,call-overload,arg-type]


def _sides(examples: Sequence[Example], names: Sequence[str], keys: Sequence[str]) -> Sides:
    of_query = {query.key: query.speaker for query in examples}
    of_document = {item.key: item.speaker for query in examples for item in query.compared_with}
    return Sides((names, keys), ([of_query[name] for name in names], [of_document[key] for key in keys]))
