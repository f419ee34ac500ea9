"""Fitting a head: exact resume, early stopping, and a search that is decided on the dev part alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import JsonValue
from torch import Tensor, nn
from torch.nn import functional

from tests.sealed import damaged
from wavlm.evaluation.examples import Example, Take
from wavlm.evaluation.features.cache import Features
from wavlm.evaluation.fit.head import Sets, fit_head, predict
from wavlm.evaluation.fit.search import search
from wavlm.evaluation.heads.pooled_linear import PooledLinear
from wavlm.evaluation.results.facts import Figure
from wavlm.evaluation.tasks.task import Batch, Size
from wavlm.specs.evaluation import FitSpec

SIZE = Size(num_states=3, num_channels=8, hop_samples=320)
FIT = FitSpec(learning_rates=(1e-2,), updates=24, batch=4, dev_every=6, patience=10)


class Killed(BaseException):
    """Stands for the end of the process."""


@dataclass
class TwoClasses:
    """A trainee whose loss can end the process at an update."""

    dies_at: int | None = None
    scores: Iterator[float] | None = None  # instead of the accuracy, one per look at the dev part
    updates: int = 0
    looked: list[tuple[str, ...]] = field(default_factory=list)

    def check(self, size: Size) -> None: ...

    def make_head(self, size: Size) -> nn.Module:
        linear = PooledLinear(size.num_states, size.num_channels, 4, (2,))
        return nn.ModuleDict({"inner": linear, "drop": nn.Dropout(0.5)})

    def _logits(self, head: nn.Module, batch: Batch) -> Tensor:
        return head["inner"](head["drop"](batch.pooled))[0]  # type: ignore[index,no-any-return]

    def loss(self, head: nn.Module, batch: Batch) -> Tensor:
        self.updates += 1
        if self.updates == self.dies_at:
            raise Killed
        return functional.cross_entropy(
            self._logits(head, batch), torch.tensor([int(str(item.target)) for item in batch.examples])
        )

    def predict(self, head: nn.Module, batch: Batch) -> list[JsonValue]:
        self.looked.append(tuple(item.key for item in batch.examples))
        return [str(number) for number in self._logits(head, batch).argmax(dim=1).tolist()]

    def score(
        self, examples: Sequence[Example], predictions: Sequence[JsonValue], *, with_intervals: bool = True
    ) -> tuple[Figure, ...]:
        if self.scores is not None:
            return (Figure(name="made up", value=next(self.scores)),)
        right = [item.target == found for item, found in zip(examples, predictions, strict=True)]
        return (Figure(name="accuracy", value=sum(right) / len(right)),)


class Made(Features):
    """Features without files: one frame per example, whose class can be learned."""

    def __init__(self, examples: Sequence[Example]) -> None:
        rng = np.random.default_rng(0)
        self.values = {
            item.key: rng.normal(size=(3, 1, 8)).astype(np.float32) + (1.0 if item.target == "1" else -1.0)
            for item in examples
        }

    def read(self, key: str) -> np.ndarray:
        return self.values[key]

    def count(self, key: str) -> int:
        return 1


def _sets() -> Sets:
    examples = [Example(f"e{n}", f"s{n}", "", 16000, Take(0, n), str(n % 2)) for n in range(20)]
    return Sets(examples[:12], examples[12:], Made(examples), SIZE)


def _weights(head: nn.Module) -> dict[str, Tensor]:
    return dict(head.state_dict())


@pytest.mark.parametrize("dies_at", [1, 5, 7, 13, 24])
def test_a_killed_fit_ends_with_the_same_weights(tmp_path: Path, dies_at: int) -> None:
    whole = fit_head(TwoClasses(), _sets(), FIT, 1e-2, 0, tmp_path / "whole.safetensors")
    path = tmp_path / "killed.safetensors"
    with pytest.raises(Killed):
        fit_head(TwoClasses(dies_at), _sets(), FIT, 1e-2, 0, path)
    again = TwoClasses()
    found = fit_head(again, _sets(), FIT, 1e-2, 0, path)
    assert again.updates == 24 - 6 * ((dies_at - 1) // 6)  # it goes on at the last look at the dev part
    assert all(torch.equal(value, _weights(whole.head)[name]) for name, value in _weights(found.head).items())
    assert (found.dev, found.update) == (whole.dev, whole.update)


def test_a_fit_that_ended_is_not_made_again(tmp_path: Path) -> None:
    path = tmp_path / "fit.safetensors"
    first = fit_head(TwoClasses(), _sets(), FIT, 1e-2, 0, path)
    again = TwoClasses()
    second = fit_head(again, _sets(), FIT, 1e-2, 0, path)
    assert again.updates == 0
    assert all(torch.equal(value, _weights(first.head)[name]) for name, value in _weights(second.head).items())


def test_a_fit_whose_file_was_damaged_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "fit.safetensors"
    first = fit_head(TwoClasses(), _sets(), FIT, 1e-2, 0, path)
    with damaged(path, lambda whole, _: whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:], 0):  # a bit of a weight
        again = TwoClasses()
        second = fit_head(again, _sets(), FIT, 1e-2, 0, path)
    assert again.updates == 24
    assert all(torch.equal(value, _weights(first.head)[name]) for name, value in _weights(second.head).items())


def test_the_head_that_was_best_on_dev_is_kept_and_fitting_stops(tmp_path: Path) -> None:
    fit = FIT.model_copy(update={"patience": 2, "updates": 60})
    trainee = TwoClasses(scores=iter([0.5, 0.9, 0.9, 0.2, 1.0]))
    found = fit_head(trainee, _sets(), fit, 1e-2, 0, tmp_path / "fit.safetensors")
    assert (found.dev, found.update, found.updates) == (0.9, 12, 24)


def test_other_seeds_give_other_heads(tmp_path: Path) -> None:
    heads = [fit_head(TwoClasses(), _sets(), FIT, 1e-2, seed, tmp_path / f"{seed}").head for seed in (0, 1)]
    assert not torch.equal(_weights(heads[0])["inner.classifier.weight"], _weights(heads[1])["inner.classifier.weight"])


def test_the_learning_rate_that_is_best_on_dev_is_chosen_and_the_edge_is_said(tmp_path: Path) -> None:
    fit = FIT.model_copy(update={"learning_rates": (1e-4, 1e-2, 1e-1), "updates": 6, "seeds": (0, 1)})
    scores = {1e-4: (0.2, 0.4), 1e-2: (0.7, 0.9), 1e-1: (0.9, 0.5)}
    trainee = TwoClasses(scores=iter([value for pair in scores.values() for value in pair]))
    found = search(trainee, _sets(), fit, tmp_path, "", lambda: None)
    assert found.learning_rate == 1e-2
    assert found.dev == pytest.approx(0.8)
    assert not found.is_at_edge
    assert len(found.heads) == 2
    low = TwoClasses(scores=iter([1.0, 1.0, 0.0, 0.0, 0.0, 0.0]))
    assert search(low, _sets(), fit, tmp_path / "low", "", lambda: None).is_at_edge


def test_a_learning_rate_that_diverges_for_one_seed_is_no_choice(tmp_path: Path) -> None:
    fit = FIT.model_copy(update={"learning_rates": (1e-2, 1e-1), "updates": 6, "seeds": (0, 1)})
    trainee = TwoClasses(scores=iter([0.5, 0.5, 1.0, float("nan")]))
    assert search(trainee, _sets(), fit, tmp_path, "", lambda: None).learning_rate == 1e-2


def test_predictions_have_the_order_of_the_examples(tmp_path: Path) -> None:
    sets, trainee = _sets(), TwoClasses()
    head = fit_head(trainee, sets, FIT, 1e-2, 0, tmp_path / "fit").head
    alone = [predict(trainee, head, [item], sets.features, "cpu")[0] for item in sets.dev]
    assert predict(trainee, head, sets.dev, sets.features, "cpu", batch=3) == alone


def test_balanced_updates_see_rare_classes_as_often_as_frequent_ones(tmp_path: Path) -> None:
    class Counting(TwoClasses):
        def loss(self, head: nn.Module, batch: Batch) -> Tensor:
            seen.extend(str(item.target) for item in batch.examples)
            return super().loss(head, batch)

    rare = [Example(f"e{n}", f"s{n}", "", 16000, Take(0, n), "1" if n == 0 else "0") for n in range(16)]
    sets = Sets(rare, rare, Made(rare), SIZE)
    fit = FIT.model_copy(update={"updates": 200, "dev_every": 200, "batch": 8})
    shares = {}
    for balance in (False, True):
        seen: list[str] = []
        path = tmp_path / f"{balance}.safetensors"
        fit_head(Counting(), sets, fit.model_copy(update={"balance_classes": balance}), 1e-2, 0, path)
        shares[balance] = seen.count("1") / len(seen)
    assert shares[False] == 1 / 16  # each once per epoch
    assert shares[True] == pytest.approx(0.5, abs=4 * (0.25 / 1600) ** 0.5)  # four standard deviations
