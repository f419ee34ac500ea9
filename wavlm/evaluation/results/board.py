"""Results of several models as one table: a row per model or baseline, a column per evaluation on the same data.

Two results stand in one column if all but the model was the same: task, data, split, head and fit.
"""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from wavlm.evaluation.results.facts import Amount, EvaluationFacts, Figure
from wavlm.evaluation.results.groups import enters_score, group_of, in_groups, overall
from wavlm.evaluation.results.words import describe_amount, show_figure

BASELINES = ("fbank", "mfcc", "random")
NO_CLAIMS = "on synthetic speech, which are no claims"  # behind the title of a table
SHORT = 6  # digits of a key, where names alone are ambiguous
MODEL, OVERALL = "model", "overall"
Row = dict[str, str]
LongRow = dict[str, str | float | int | None]
LONG_COLUMNS = (
    *("model", "group", "task", "evaluation", "metric", "value", "low", "high", "interval", "lower_is_better"),
    *("utterances", "speakers", "minutes", "reality", "protocol", "source", "note"),
)
OURS = "ours"  # source of what was measured here
UNLIKE = "The overall scores are means over other evaluations, or over other data or fits: they cannot be compared."


@dataclass(frozen=True)
class StoredResult:
    """The results of one evaluation, with what tells whether others may stand beside them."""

    facts: EvaluationFacts
    subject: str  # what was evaluated: equal for the same weights alone
    conditions: str  # digest of all but the subject: equal where figures can be compared
    finished_unix: float = 0.0
    folder: Path | None = None


@dataclass(frozen=True)
class Column:
    """One evaluation under the same conditions."""

    evaluation: str
    task: str
    conditions: str
    is_alone: bool  # no other column has this evaluation's name
    is_synthetic: bool = False  # nobody spoke: it stands in no table of claims

    @property
    def label(self) -> str:
        return self.evaluation if self.is_alone else f"{self.evaluation} ({self.conditions[:SHORT]})"


@dataclass(frozen=True)
class Board:
    """All of them, as a table."""

    results: tuple[StoredResult, ...]

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """In the order of SUPERB's groups, then by name."""
        found = dict.fromkeys((it.facts.evaluation, it.facts.task, it.conditions) for it in self.results)
        names = Counter(name for name, _, _ in found)
        made = {(it.facts.evaluation, it.conditions) for it in self.results if not it.facts.is_claim}
        columns = [
            Column(*item, is_alone=names[item[0]] == 1, is_synthetic=(item[0], item[2]) in made)
            for item in sorted(found)
        ]
        firsts = {item.conditions + item.evaluation: self._first(item) for item in columns}
        order = [fact for _, facts in in_groups(firsts.values()) for fact in facts]
        place = {id(fact): number for number, fact in enumerate(order)}
        return tuple(sorted(columns, key=lambda item: place[id(firsts[item.conditions + item.evaluation])]))

    @cached_property
    def subjects(self) -> Mapping[str, str]:
        """The label of each subject: models by name, then baselines. Where a name is not alone, a part of the key."""
        named = {it.subject: it.facts.subject for it in sorted(self.results, key=lambda it: it.finished_unix)}
        counts = Counter(named.values())

        def order(subject: str) -> tuple[int, str, str]:
            name = named[subject]
            return (BASELINES.index(name) + 1 if name in BASELINES else 0, name, subject)

        return {
            it: named[it] if counts[named[it]] == 1 else f"{named[it]} ({it[:SHORT]})"
            for it in sorted(named, key=order)
        }

    def find(self, subject: str, column: Column) -> EvaluationFacts | None:
        """The newest result of a subject in a column."""
        found = [it for it in self.results if it.subject == subject and self._is_in(it, column)]
        return max(found, key=lambda it: it.finished_unix).facts if found else None

    def newest(self, subject: str) -> list[EvaluationFacts]:
        """The newest result of each evaluation of a subject, in the order of the columns."""
        return [it.facts for it in self._newest(subject)]

    def scored_columns(self, subject: str) -> frozenset[tuple[str, str]]:
        """Evaluations and conditions that the overall score of a subject is a mean of."""
        scored = [it for it in self._newest(subject) if enters_score(it.facts)]
        return frozenset((it.facts.evaluation, it.conditions) for it in scored)

    def _newest(self, subject: str) -> list[StoredResult]:
        found: dict[str, StoredResult] = {}
        for column in self.columns:
            for it in self.results:
                if it.subject == subject and self._is_in(it, column):
                    last = found.get(column.evaluation)
                    found[column.evaluation] = it if last is None or it.finished_unix > last.finished_unix else last
        return list(found.values())

    def _first(self, column: Column) -> EvaluationFacts:
        return next(it.facts for it in self.results if self._is_in(it, column))

    @staticmethod
    def _is_in(result: StoredResult, column: Column) -> bool:
        return (result.facts.evaluation, result.conditions) == (column.evaluation, column.conditions)


def keep(results: Iterable[StoredResult], evaluations: Sequence[str] = ()) -> Board:
    """A table of some evaluations, or of all."""
    return Board(tuple(it for it in results if not evaluations or it.facts.evaluation in evaluations))


def rows_of(board: Board) -> list[Row]:
    """The table of claims: the main figure of each evaluation on speech of people, and the overall score."""
    rows = list(_rows_of(board, is_synthetic=False))
    for row, subject in zip(rows, board.subjects, strict=False):
        score = overall(board.newest(subject)).score
        row[OVERALL] = "" if score is None else f"{score:.1f}"
    return rows


def synthetic_rows_of(board: Board) -> list[Row]:
    """The table of evaluations whose speech a synthesiser made, which are no claims; without an overall score."""
    return list(_rows_of(board, is_synthetic=True))


def _rows_of(board: Board, *, is_synthetic: bool) -> Iterator[Row]:
    """A row per model; none if there is no column."""
    columns = [column for column in board.columns if column.is_synthetic == is_synthetic]
    for subject, label in board.subjects.items() if columns else ():
        row = {MODEL: label}
        for column in columns:
            found = board.find(subject, column)
            row[column.label] = show_figure(found.main) + _marks(found) if found and found.main else ""
        yield row


def notes_of(board: Board) -> Iterator[str]:
    """What stands beneath the table: what each column is, and what a reader has to know of rows."""
    for column in board.columns:
        yield _describe(column, board)
    scores = {label: overall(board.newest(subject)) for subject, label in board.subjects.items()}
    yield from (f"{label}: {score.note}." for label, score in scores.items() if score.note)
    if len({board.scored_columns(subject) for subject in board.subjects} - {frozenset()}) > 1:
        yield UNLIKE
    yield from _explain_marks(board)


def _explain_marks(board: Board) -> Iterator[str]:
    marked: dict[str, list[str]] = defaultdict(list)
    for subject, label in board.subjects.items():
        for column in board.columns:
            for note in _all_remarks(board.find(subject, column)):
                marked[note].append(f"{label} on {column.label}")
    yield from (f"*: {note} ({', '.join(where)})" for note, where in marked.items())


def long_rows(board: Board) -> Iterator[LongRow]:
    """One row per model, evaluation and figure, for programs."""
    for subject, label in board.subjects.items():
        for column in board.columns:
            if found := board.find(subject, column):
                yield from (_long_row(label, column, found, figure) for figure in found.figures)


def to_csv(rows: Iterable[LongRow]) -> str:
    """Those rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, LONG_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _long_row(label: str, column: Column, facts: EvaluationFacts, figure: Figure) -> LongRow:
    test = facts.test or Amount(utterances=0, speakers=0, minutes=0.0)
    spread = figure.interval
    deviation = f"Not as {facts.protocol} has it: {facts.deviation}." if facts.deviation else ""
    values = (
        *(label, group_of(facts.task), facts.task, column.label, figure.name, figure.value),
        *((spread.low, spread.high, spread.method) if spread else (None, None, "")),
        *(int(figure.is_lower_better), test.utterances, test.speakers, test.minutes),
        *(facts.reality, facts.protocol, OURS, " ".join(filter(None, (figure.note, *_remarks(facts), deviation)))),
    )
    return dict(zip(LONG_COLUMNS, values, strict=True))


def _describe(column: Column, board: Board) -> str:
    found = [it for subject in board.subjects if (it := board.find(subject, column))]
    first = found[0]
    main = first.main
    metric = f"{main.name}, {'lower' if main.is_lower_better else 'higher'} is better" if main else "no figure"
    methods = dict.fromkeys(it.main.interval.method for it in found if it.main and it.main.interval)
    interval = f"; interval: {', '.join(methods)}" if methods else "; no interval"
    kind = f"{group_of(first.task)}, {first.task}"
    return f"{column.label} ({kind}): {metric}{interval}; test: {describe_amount(first.test)}, {first.reality} speech."


def _marks(facts: EvaluationFacts) -> str:
    return " *" if _all_remarks(facts) else ""


def _all_remarks(facts: EvaluationFacts | None) -> list[str]:
    """What a reader of the main figure has to know."""
    own = facts.main.note if facts and facts.main else ""
    return [*_remarks(facts), *([own] if own else [])]


def _remarks(facts: EvaluationFacts | None) -> list[str]:
    """What a reader of any figure has to know."""
    if facts is None:
        return []
    cut = "Not all of the data was used." if facts.was_cut else ""
    return [note for note in (*facts.notes, _describe_edge(facts), cut) if note]


def _describe_edge(facts: EvaluationFacts) -> str:
    """Whether the search may have stopped too early; empty if there was nothing to search. Folds may differ."""
    if not facts.is_at_edge or len({it.learning_rate for it in facts.attempts}) < 2:
        return ""
    if facts.learning_rate is None:
        return "The best learning rate of one fold or more is at the edge of the list."
    return f"The best learning rate, {facts.learning_rate:g}, is at the edge of the list."
