"""Choose the best state of a model on the dev part, for tasks without a head. The score of each state is saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from wavlm.evaluation.features.cache import Features
from wavlm.evaluation.fit.head import value_of
from wavlm.evaluation.splits import Split
from wavlm.evaluation.tasks.task import Untrained
from wavlm.storage.files import is_whole, note_whole, read_json, write_json


@dataclass(frozen=True)
class Compared:
    """What the states gave."""

    state: int | None  # the best on the dev part; None: no score was a number
    alone: tuple[float | None, ...]  # the score of each state on the dev part, higher is better
    predictions: list[JsonValue]  # on the test part, of the best state


def compare_states(  # noqa: PLR0913 - what, on what, where
    task: Untrained,
    split: Split,
    features: Features,
    num_states: int,
    folder: Path,
    device: str,
    *,
    step: Callable[[], None] = lambda: None,
) -> Compared:
    """Score each state on the dev part; then the test part is read once, by the best state, the lowest if equal.

    `folder`: where the scores of states are saved; those that are there are not computed again. `step` is called when
    one more state is scored.
    """
    alone = []
    for state in range(num_states):
        path = folder / f"state{state}.json"
        if not is_whole(path):
            predictions = task.compare(split.dev, features, state, device)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, {"dev": value_of(task, split.dev, predictions)})
            note_whole(path)
        alone.append(read_json(path)["dev"])
        step()
    known = [state for state, value in enumerate(alone) if value is not None]
    if not known:
        return Compared(None, tuple(alone), [])
    best = max(known, key=lambda state: (alone[state], -state))
    return Compared(best, tuple(alone), task.compare(split.test, features, best, device))
