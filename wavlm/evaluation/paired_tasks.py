"""Whether one model is better than another one at a task: the same test examples, the same seeds, paired.

Numbers of each example that add up come from the predictions that both evaluations kept. The figure that they give is
compared with the one that the evaluation reported: where they differ, nothing is said.

Legend: U examples.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from wavlm.evaluation.decoding.predictions import GREEDY, LEXICON, WITH_MODEL, read_symbols
from wavlm.evaluation.facts import Gain
from wavlm.evaluation.metrics.words import count_edits, split_words
from wavlm.evaluation.outputs import PREDICTIONS
from wavlm.evaluation.paired import find_gain
from wavlm.evaluation.results.facts import EvaluationFacts, Figure
from wavlm.storage.seals import check_sealed

Floats = npt.NDArray[np.float64]
Key = tuple[str, int, str]  # fold, seed, example
Table = dict[Key, tuple[str, float, float]]  # speaker, and what stands above and below the fraction line

ACCURACY = "accuracy"
EDITS = ("per", "cer", "wer", f"cer{WITH_MODEL}", f"wer{WITH_MODEL}")
FEWEST_EXAMPLES = 5  # of which an interval says something
CLOSE = 1e-6


def find_task_gain(
    metric: str, ours: tuple[EvaluationFacts, Path], theirs: tuple[EvaluationFacts, Path], name: str, confidence: float
) -> Gain | str:
    """The gain of a model by a figure of an evaluation; a text that says why there is none.

    ours, theirs: results of the same evaluation under the same conditions, and their folders. name: of the figure.
    """
    figures = [item for facts, _ in (ours, theirs) for item in facts.figures if item.name == name]
    tables = [table for _, folder in (ours, theirs) if (table := _read(folder, name)) is not None]
    if obstacle := next(_find_obstacles(name, figures, tables), None):
        return f"{metric} is no comparison: {obstacle}"
    rows = sorted(tables[0])
    numbers = [_sum_seeds(rows, table) for table in tables]
    for figure, found in zip(figures, numbers, strict=True):
        if abs(float(_quotient(found.sum(axis=0, keepdims=True))[0]) - figure.value) > CLOSE:
            return f"{metric} is no comparison: predictions do not give {name} {figure.value:.6g} again"
    return find_gain(
        metric,
        numbers[0],
        numbers[1],
        _by_example(rows, tables[0]),
        _quotient,
        is_lower_better=figures[0].is_lower_better,
        confidence=confidence,
    )


def _find_obstacles(name: str, figures: Sequence[Figure], tables: Sequence[Table]) -> Iterator[str]:
    """Why two evaluations cannot be compared in pairs."""
    if len(figures) != 2:
        yield f"not both evaluations have one figure {name}"
    elif len(tables) != 2:
        yield f"{name} is no quotient of sums over test examples"
    elif tables[0].keys() != tables[1].keys():
        yield "their test examples differ"
    elif len({key for _, _, key in tables[0]}) < FEWEST_EXAMPLES:
        yield f"there are fewer than {FEWEST_EXAMPLES} test examples"


def _quotient(sums: Floats) -> Floats:
    found: Floats = sums[:, 0] / np.maximum(sums[:, 1], 1.0)
    return found


def _read(folder: Path, name: str) -> Table | None:
    """Speaker and numbers of each prediction; None for a figure that is no quotient of sums."""
    if name not in (ACCURACY, *EDITS):
        return None
    check_sealed(folder / PREDICTIONS)
    table = pq.read_table(folder / PREDICTIONS).to_pylist()
    numbers = _count(name, [(json.loads(row["target"]), json.loads(row["prediction"])) for row in table])
    if numbers is None:
        return None
    return {
        (row["fold"], row["seed"], row["key"]): (row["speaker"], float(above), float(below))
        for row, (above, below) in zip(table, numbers, strict=True)
    }


def _count(name: str, pairs: Sequence[tuple[object, object]]) -> Floats | None:
    """Of each prediction what stands above and below the fraction line: (U, 2)."""
    if name == ACCURACY:
        return np.array([[target == found, 1.0] for target, found in pairs], np.float64)
    if not all(isinstance(target, list) and isinstance(found, list | dict) for target, found in pairs):
        return None
    which = LEXICON if name.endswith(WITH_MODEL) else GREEDY
    tokens = [[read_symbols(target), read_symbols(found, which)] for target, found in pairs]
    if name.startswith("wer"):
        tokens = [[split_words("".join(item)) for item in pair] for pair in tokens]
    return count_edits([target for target, _ in tokens], [found for _, found in tokens]).sums


def _by_example(rows: Sequence[Key], table: Table) -> list[str]:
    """The speaker of each example, in the order of `_sum_seeds`."""
    return list({(fold, key): table[fold, seed, key][0] for fold, seed, key in rows}.values())


def _sum_seeds(rows: Sequence[Key], table: Table) -> Floats:
    """The numbers of each example over all seeds, (U, 2): seeds are no examples of their own."""
    found: dict[tuple[str, str], Floats] = {}
    for fold, seed, key in rows:
        _, above, below = table[fold, seed, key]
        found[fold, key] = found.get((fold, key), np.zeros(2)) + np.array([above, below])
    return np.stack(list(found.values()))
