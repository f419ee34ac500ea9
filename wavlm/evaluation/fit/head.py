"""Fit one head on cached features: early stopping on the dev part, and exact resume.

Every update draws its batch and its dropout from the seed and the update's number, so a fit that was killed goes on
with the same numbers. It is saved after each score on the dev part.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import JsonValue
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from wavlm.evaluation.examples import Example
from wavlm.evaluation.features.cache import Features
from wavlm.evaluation.fit.steps import FitProgress, Report, no_report
from wavlm.evaluation.tasks.task import Batch, KeepsHeads, Moment, Scorer, Size, Trainee, read_batch
from wavlm.nn.files import save_tensors
from wavlm.rng import rng_for, seed_for
from wavlm.specs.evaluation import FitSpec
from wavlm.storage.files import is_whole, note_whole

STATE = "state"  # the entry of the file's header that holds the progress


@dataclass
class Progressed:
    """How far a fit is."""

    update: int = 0
    best: float | None = None  # of the figure that heads are chosen by, higher is better here
    best_update: int = 0
    worse: int = 0  # scores on the dev part in a row that were no better
    is_over: bool = False


@dataclass(frozen=True)
class Fitted:
    """A head that was fitted."""

    head: nn.Module  # with the weights that were best on the dev part
    dev: float | None  # its figure; None: no score was a number
    update: int  # at which it was best
    updates: int


@dataclass(frozen=True)
class Sets:
    """What a head is fitted on and chosen by."""

    train: Sequence[Example]
    dev: Sequence[Example]
    features: Features
    size: Size
    report: Report = no_report  # how far a fit is, at each update


def fit_head(  # noqa: PLR0913, PLR0917 - what, on what, how, where
    trainee: Trainee, sets: Sets, fit: FitSpec, learning_rate: float, seed: int, path: Path, device: str = "cpu"
) -> Fitted:
    """Fit a head. `path`: where it is saved; what is there is gone on with.

    A loss that is no number ends the fit; the best head so far counts.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        _seed(seed, "head")
        head = trainee.make_head(sets.size).to(device)
    optimizer = _make_optimizer(head, fit, learning_rate)
    state = Progressed()
    best = _copy(head)
    if (saved := _read(path, head, optimizer)) is not None:
        state, best = saved
    batches = _batches(sets, fit, seed, state.update, device)
    with torch.random.fork_rng(devices=[]):
        while not state.is_over:
            _seed(seed, "update", state.update)
            is_finite = _update(trainee, head, next(batches), optimizer, fit, learning_rate, state.update)
            state.update += 1
            far = FitProgress(learning_rate, seed, state.update, fit.updates, state.best)
            sets.report(far)
            if state.update % fit.dev_every == 0 or state.update == fit.updates or not is_finite:
                found = _score_dev(trainee, head, sets, device, far) if is_finite else None
                best = _judge(state, found, head, best)
                if isinstance(trainee, KeepsHeads) and trainee.keeps_heads and found is not None:
                    save_tensors(_copy(head), kept_path(path, state.update), {})
                    note_whole(kept_path(path, state.update))
                state.is_over = state.update >= fit.updates or state.worse >= fit.patience or not is_finite
                _write(path, head, best, optimizer, state)
    head.load_state_dict(best)
    return Fitted(head.eval(), state.best, state.best_update, state.update)


def predict(  # noqa: PLR0913 - by what, of what, how
    trainee: Trainee,
    head: nn.Module,
    examples: Sequence[Example],
    features: Features,
    device: str,
    *,
    batch: int = 16,
    tell: Callable[[float], None] | None = None,
) -> list[JsonValue]:
    """The predictions of a head, in the order of the examples. Examples of similar length are computed together.

    tell: called with the share that is done.
    """
    order = sorted(range(len(examples)), key=lambda number: (features.count(examples[number].key), number))
    found: dict[int, JsonValue] = {}
    head.eval()
    with torch.inference_mode():
        for begin in range(0, len(order), batch):
            numbers = order[begin : begin + batch]
            chosen = read_batch([examples[number] for number in numbers], features, device)
            found.update(zip(numbers, trainee.predict(head, chosen), strict=True))
            if tell:
                tell(len(found) / len(order))
    return [found[number] for number in range(len(examples))]


def kept_path(path: Path, update: int | str) -> Path:
    """Where the head of a fit after an update is kept, if all of them are."""
    return path.with_name(f"{path.stem}@{update}{path.suffix}")


def value_of(trainee: Scorer, examples: Sequence[Example], predictions: Sequence[JsonValue]) -> float | None:
    """The first figure, turned so that higher is better; None if it is no number."""
    first = trainee.score(examples, predictions, with_intervals=False)[0]
    value = -first.value if first.is_lower_better else first.value
    return value if math.isfinite(value) else None


def _seed(seed: int, *names: str | int) -> None:
    """Seed torch's default generators.

    `torch.manual_seed` keeps a stack trace of each call on a machine without a GPU, which costs more than an update.
    """
    number = seed_for(seed, *names) % 2**63
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(number)


def _score_dev(trainee: Trainee, head: nn.Module, sets: Sets, device: str, far: FitProgress) -> float | None:
    found = predict(
        *(trainee, head, sets.dev, sets.features, device),
        tell=lambda share: sets.report(replace(far, scoring=share)),
    )
    return value_of(trainee, sets.dev, found)


def _judge(state: Progressed, found: float | None, head: nn.Module, best: dict[str, Tensor]) -> dict[str, Tensor]:
    """Note a score on the dev part; the weights that are best now."""
    if found is not None and (state.best is None or found > state.best):
        state.best, state.best_update, state.worse = found, state.update, 0
        return _copy(head)
    state.worse += 1
    return best


def _update(  # noqa: PLR0913, PLR0917 - one step, and what it needs
    trainee: Trainee,
    head: nn.Module,
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    fit: FitSpec,
    learning_rate: float,
    number: int,
) -> bool:
    """One update. False if loss or gradient is no number: then nothing was changed."""
    head.train()
    warm = min(1.0, (number + 1) / fit.warm_up) if fit.warm_up else 1.0
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * warm
    optimizer.zero_grad()
    loss = trainee.loss(head, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(head.parameters(), fit.max_gradient)
    if not (torch.isfinite(loss) and torch.isfinite(norm)):
        return False
    optimizer.step()
    return True


def _batches(sets: Sets, fit: FitSpec, seed: int, begun: int, device: str) -> Iterator[Batch]:
    """The batches from an update on, without end: each epoch has every example once, in an order of its own.

    Balanced ones have as many draws per epoch, with replacement.
    """
    count = len(sets.train)
    chances = _balance(sets.train) if fit.balance_classes else None
    size = min(fit.batch, count)
    per_epoch = max(1, count // size)
    number = begun
    while True:
        epoch, place = divmod(number, per_epoch)
        rng = rng_for(seed, "order", epoch)
        order = rng.permutation(count) if chances is None else rng.choice(count, count, p=chances)
        for step in range(place, per_epoch):
            chosen = [sets.train[row] for row in order[step * size : (step + 1) * size]]
            done = epoch * per_epoch + step
            moment = Moment(done, fit.updates, seed_for(seed, "batch", done))
            yield replace(read_batch(chosen, sets.features, device), moment=moment)
        number = (epoch + 1) * per_epoch


def _balance(examples: Sequence[Example]) -> npt.NDArray[np.float64]:
    """The chance of each example to be drawn, such that all targets are drawn alike often."""
    known: dict[str, int] = {}
    targets = (json.dumps(item.target, sort_keys=True) for item in examples)
    places = np.fromiter((known.setdefault(target, len(known)) for target in targets), np.int64)
    counts = np.bincount(places)
    found: npt.NDArray[np.float64] = 1.0 / (len(counts) * counts[places])
    return found


def _make_optimizer(head: nn.Module, fit: FitSpec, learning_rate: float) -> torch.optim.Optimizer:
    kinds: dict[str, Any] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    made: torch.optim.Optimizer = kinds[fit.optimizer](
        head.parameters(), lr=learning_rate, weight_decay=fit.weight_decay
    )
    return made


def _copy(head: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in head.state_dict().items()}


def _write(
    path: Path, head: nn.Module, best: dict[str, Tensor], optimizer: torch.optim.Optimizer, state: Progressed
) -> None:
    """Save all that a fit goes on with. An ended one keeps only its best weights."""
    tensors = {f"best.{name}": value for name, value in best.items()}
    if not state.is_over:
        tensors |= {f"head.{name}": value for name, value in head.state_dict().items()}
        for number, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"moment.{number}.{name}": torch.as_tensor(value) for name, value in moments.items()}
    copies = {name: value.clone() for name, value in tensors.items()}  # safetensors refuses shared memory
    save_tensors(copies, path, {STATE: json.dumps(asdict(state))})
    note_whole(path)


def _read(path: Path, head: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Progressed, dict[str, Tensor]] | None:
    """What an earlier attempt saved; None if there is nothing, or something else: then the fit begins anew."""
    if not is_whole(path):
        return None
    try:
        with safe_open(path, framework="pt") as file:
            state = Progressed(**json.loads((file.metadata() or {})[STATE]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (FileNotFoundError, SafetensorError, KeyError, ValueError, TypeError):
        return None
    best, now = _part(tensors, "best."), _part(tensors, "head.")
    wanted = [best] if state.is_over else [best, now]
    shapes = {name: value.shape for name, value in head.state_dict().items()}
    if any({name: value.shape for name, value in found.items()} != shapes for found in wanted):
        return None
    if not state.is_over:
        head.load_state_dict(now)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _part(tensors, "moment.").items():
            number, _, key = name.partition(".")
            moments.setdefault(int(number), {})[key] = value
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": moments, "param_groups": groups})
    return state, best


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin so, without the prefix."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
