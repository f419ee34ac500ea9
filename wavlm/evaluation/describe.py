"""What came out of an evaluation, as facts: figures, amounts, attempts and layer weights.

Legend: S states.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import JsonValue
from torch import nn

from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Example, speaker_of
from wavlm.evaluation.fit.search import Searched
from wavlm.evaluation.results.facts import Amount, EvaluationFacts, Figure, LayerWeight
from wavlm.evaluation.splits import Split
from wavlm.evaluation.tasks.conversations import Conversation
from wavlm.evaluation.tasks.task import Scorer
from wavlm.specs.evaluation import EvaluationSpec
from wavlm.specs.tasks import SpeakerIdentification

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Tested:
    """A fold after its test part was read, once per seed."""

    split: Split
    searched: Searched
    trainee: Scorer
    predictions: tuple[list[JsonValue], ...]  # per seed
    norms: Floats  # (S,) over the dev part
    alone: tuple[float | None, ...] = ()  # per state
    state: int | None = None  # the one that was chosen, where no head weighs them
    also: tuple[Figure, ...] = ()  # figures that were computed in another way
    scorers: tuple[Scorer, ...] = ()  # per seed, where what scores was learned; else the trainee scores


def describe_results(spec: EvaluationSpec, subject_name: str, tested: Sequence[Tested]) -> EvaluationFacts:
    """The facts of an evaluation whose test parts were read."""
    first, figures = tested[0], figures_of(tested)
    rates = {it.searched.learning_rate for it in tested}
    return EvaluationFacts(
        evaluation=spec.name,
        task=spec.task.type,
        subject=subject_name,
        reality=spec.reality,
        protocol=spec.protocol,
        deviation=spec.deviation,
        figures=(*figures, *(figure for it in tested for figure in it.also)),
        train=None if first.state is not None else amount_of(*(it.split.train for it in tested)),
        dev=amount_of(*(it.split.dev for it in tested)),
        test=amount_of(*(it.split.test for it in tested)),
        was_cut=spec.max_utterances is not None,
        learning_rate=first.searched.learning_rate if len(rates) == 1 else None,
        is_at_edge=any(it.searched.is_at_edge for it in tested),
        attempts=tuple(attempt for it in tested for attempt in it.searched.attempts),
        layers=_layers(tested, -1.0 if figures[0].is_lower_better else 1.0),
        notes=tuple(_notes(spec, tested, rates)),
    )


def _notes(spec: EvaluationSpec, tested: Sequence[Tested], rates: set[float | None]) -> Iterator[str]:
    if len(rates) > 1:
        yield "Folds chose different learning rates: " + ", ".join(f"{rate:g}" for rate in sorted(rates)) + "."  # type: ignore[type-var]
    if spec.split.type == "examples":
        yield "The same speakers and recording conditions are in all parts, so a part of a score may be theirs."
    elif seen := _seen_speakers(spec, tested):
        yield seen
    if states := [str(it.state) for it in tested if it.state is not None]:
        yield f"Nothing was trained. State {', '.join(dict.fromkeys(states))} was the best on the dev part."
    if num_short := sum(it.split.num_short for it in tested):
        yield f"{num_short} recordings of the train part are too short to be trained on, and were left out."


def _seen_speakers(spec: EvaluationSpec, tested: Sequence[Tested]) -> str:
    """How many speakers of the test parts are in the train parts, too; nothing where speakers are what is told apart.

    Names in the turns of recordings may mean others in the next one.
    """
    if isinstance(spec.task, SpeakerIdentification):
        return ""
    num_seen = num_all = 0
    for split in (it.split for it in tested):
        train, test = (
            {name for item in part if not isinstance(item.audio, Conversation) for name in _speakers(item) if name}
            for part in (split.train, split.test)
        )
        num_seen, num_all = num_seen + len(train & test), num_all + len(test)
    if not num_seen:
        return ""
    return (
        f"{num_seen} of {num_all} speakers of the test part are in the train part, too, so a part of a score may be "
        "their voices and their recording conditions."
    )


def figures_of(tested: Sequence[Tested]) -> tuple[Figure, ...]:
    """The figures of all folds together, the mean over seeds; the ends of the interval are means over seeds as well.

    What seeds differ by is in the note: intervals are about the examples.
    """
    examples = [item for it in tested for item in it.split.test]
    first = tested[0]
    scorers = first.scorers or (first.trainee,) * len(first.predictions)
    of_seeds = [
        scorer.score(examples, [one for it in tested for one in it.predictions[number]])
        for number, scorer in enumerate(scorers)
    ]
    figures = []
    for same in zip(*of_seeds, strict=True):
        mean = float(np.mean([figure.value for figure in same]))
        if not math.isfinite(mean):
            raise BadDataError(
                "METRIC_UNDEFINED", f"{same[0].name} is no number on the test part; in the evaluation; check its data"
            )
        figures.append(same[0] if len(same) == 1 else _join_seeds(same, mean))
    return tuple(figures)


def _join_seeds(same: Sequence[Figure], mean: float) -> Figure:
    """One figure of several seeds."""
    values, known = [it.value for it in same], [it.interval for it in same if it.interval is not None]
    spread = f"mean of {len(same)} seeds, from {min(values):.4g} to {max(values):.4g}"
    joined = None
    if len(known) == len(same):
        ends = {name: float(np.mean([getattr(it, name) for it in known])) for name in ("low", "high")}
        joined = known[0].model_copy(update=ends)
    note = "; ".join(filter(None, (same[0].note, spread)))
    return same[0].model_copy(update={"value": mean, "interval": joined, "note": note})


def amount_of(*sets: Sequence[Example]) -> Amount:
    """How much some sets of examples are, each example once."""
    every: Sequence[Example] = sets[0] if len(sets) == 1 else [*{it.key: it for part in sets for it in part}.values()]
    return Amount(
        utterances=len(every),
        speakers=len({name for item in every for name in _speakers(item) if name}),
        minutes=round(sum(item.seconds for item in every) / 60, 3),
    )


def _speakers(example: Example) -> tuple[str, ...]:
    """Those who are known. Names in the turns of a real recording may mean others in the next one."""
    if isinstance(example.audio, Conversation) and isinstance(example.target, dict):
        turns: Any = example.target["turns"]
        return tuple({name for _, _, name in turns})
    found = speaker_of(example)
    return found if isinstance(found, tuple) else (found,)


def _layers(tested: Sequence[Tested], sign: float) -> tuple[LayerWeight, ...]:
    """The weights of the states, the mean over folds and seeds; none where there is one state.

    sign: -1 if the figure is better when it is lower.
    """
    weights = np.mean([row for it in tested for row in _rows(it)], axis=0)
    if len(weights) == 1:
        return ()
    norms = np.mean([it.norms for it in tested], axis=0)
    shares = weights * norms / (weights * norms).sum()
    alone = _mean_alone(tested, len(weights), sign)
    return tuple(
        LayerWeight(layer=n, weight=float(weights[n]), norm=float(norms[n]), share=float(shares[n]), alone=alone[n])
        for n in range(len(weights))
    )


def _mean_alone(tested: Sequence[Tested], num_states: int, sign: float) -> list[float | None]:
    """The score of each state alone, the mean over folds, as the figure counts it."""
    found: list[float | None] = []
    for state in range(num_states):
        scores = [it.alone[state] for it in tested if it.alone]
        known = [score for score in scores if score is not None]
        found.append(sign * float(np.mean(known)) if known and len(known) == len(scores) else None)
    return found


def _rows(tested: Tested) -> list[Floats]:
    """The weights of each head, (S,); where there is none, all weight is on the chosen state."""
    if tested.state is None:
        return [_weights(head, len(tested.norms)) for head in tested.searched.heads]
    return [np.eye(len(tested.norms))[tested.state]]


def _weights(head: nn.Module, num_states: int) -> Floats:
    """The softmax weights of a head's sum over states, (S,); a head without a sum takes the last state."""
    if (raw := dict(head.named_parameters()).get("sum.weights")) is None:
        last: Floats = np.eye(num_states)[-1]
        return last
    found: Floats = torch.softmax(raw.detach().double().cpu(), dim=0).numpy()
    return found
