"""The search: every learning rate with every seed, chosen on the dev part; the test part is read once, afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from wavlm.evaluation.fit.head import Fitted, Sets, fit_head
from wavlm.evaluation.results.facts import Attempt
from wavlm.evaluation.tasks.task import Trainee
from wavlm.specs.evaluation import FitSpec

Step = Callable[[], None]  # called when one more fit has ended


@dataclass(frozen=True)
class Searched:
    """The heads of the best learning rate, one per seed, and all that was tried."""

    learning_rate: float | None  # None: no fit gave a number
    heads: tuple[nn.Module, ...]
    attempts: tuple[Attempt, ...]
    is_at_edge: bool

    @property
    def dev(self) -> float | None:
        """The mean score on the dev part of the chosen heads, higher is better."""
        chosen = (item.dev for item in self.attempts if item.learning_rate == self.learning_rate)
        found = [score for score in chosen if score is not None]
        return float(np.mean(found)) if found else None


def search(  # noqa: PLR0913, PLR0917 - what, on what, how, where
    trainee: Trainee, sets: Sets, fit: FitSpec, folder: Path, fold: str, step: Step, device: str = "cpu"
) -> Searched:
    """Fit with each learning rate and seed; the best mean over seeds on the dev part decides, the smaller one if equal.

    `folder`: where fits are saved; those that ended are not made again.
    """
    fitted: dict[float, list[Fitted]] = {}
    attempts: list[Attempt] = []
    for learning_rate in fit.learning_rates:
        for seed in fit.seeds:
            path = folder / f"{learning_rate:g}-{seed}.safetensors"
            found = fit_head(trainee, sets, fit, learning_rate, seed, path, device)
            fitted.setdefault(learning_rate, []).append(found)
            attempts.append(
                Attempt(
                    learning_rate=learning_rate,
                    seed=seed,
                    fold=fold,
                    dev=found.dev,
                    update=found.update,
                    updates=found.updates,
                )
            )
            step()
    best = _choose(fit.learning_rates, fitted)
    if best is None:
        return Searched(None, (), tuple(attempts), is_at_edge=False)
    ordered = sorted(fit.learning_rates)
    is_at_edge = len(ordered) > 1 and best in (ordered[0], ordered[-1])
    return Searched(best, tuple(item.head for item in fitted[best]), tuple(attempts), is_at_edge)


def _choose(learning_rates: Sequence[float], fitted: dict[float, list[Fitted]]) -> float | None:
    """The learning rate whose mean over seeds is best; one of which any seed gave no number is no choice."""
    scores = {
        rate: float(np.mean([item.dev for item in fitted[rate]]))
        for rate in learning_rates
        if all(item.dev is not None for item in fitted[rate])
    }
    return max(scores, key=lambda rate: (scores[rate], -rate)) if scores else None
