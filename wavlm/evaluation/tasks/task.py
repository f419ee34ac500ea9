"""What a task is: the contract between a task and the code that fits and scores any of them.

Legend: B utterances, S states, F frames, D channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor, nn

from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Example
from wavlm.evaluation.features.cache import Features
from wavlm.evaluation.results.facts import Figure
from wavlm.evaluation.splits import Split
from wavlm.specs import HOP_SAMPLES

if TYPE_CHECKING:
    from wavlm.evaluation.labelled import LabelledCorpus


@dataclass(frozen=True)
class Batch:
    """Examples with their features, padded with zeros."""

    examples: tuple[Example, ...]
    states: Tensor  # (B, S, F, D); of pooled features F is 1
    num_frames: Tensor  # (B,)

    @property
    def pooled(self) -> Tensor:
        """The pooled states (B, S, D), of features that have one frame each."""
        return self.states[:, :, 0]


@dataclass(frozen=True)
class Size:
    """What a head has to know of the features."""

    num_states: int
    num_channels: int
    hop_samples: int

    def frames_per_hop(self, of: str) -> int:
        """Frames per 20 ms, of which a head that works at that rate takes the first.

        Raises BadDataError (METRIC_MISFIT) for frames that do not fall on 20 ms. `of`: what they have to fall on.
        """
        if HOP_SAMPLES % self.hop_samples:
            raise BadDataError(
                "METRIC_MISFIT",
                f"the model has a frame every {self.hop_samples} samples, expected {HOP_SAMPLES} or a fraction of it; "
                f"for {of}; use another model",
            )
        return HOP_SAMPLES // self.hop_samples


class Scorer(Protocol):
    """What knows how good predictions are."""

    def score(
        self, examples: Sequence[Example], predictions: Sequence[JsonValue], *, with_intervals: bool = True
    ) -> tuple[Figure, ...]:
        """The figures of a set of examples, the one that is chosen by first.

        Intervals cost thousands of draws, so they are left out on the dev part.
        """
        ...


class Trainee(Scorer, Protocol):
    """A task whose classes are known: it makes heads, and knows what their output means."""

    def check(self, size: Size) -> None:
        """Raise BadDataError for what no head can learn from features of this size."""
        ...

    def make_head(self, size: Size) -> nn.Module:
        """A head with fresh weights from torch's default generator."""
        ...

    def loss(self, head: nn.Module, batch: Batch) -> Tensor:
        """The mean loss of a batch, a scalar."""
        ...

    def predict(self, head: nn.Module, batch: Batch) -> list[JsonValue]:
        """The prediction for each example of a batch."""
        ...


@runtime_checkable
class Untrained(Scorer, Protocol):
    """A task that compares frames themselves: no head is fitted, and the best state is chosen on the dev part."""

    def check(self, size: Size) -> None:
        """Raise BadDataError for what cannot be compared."""
        ...

    def compare(self, examples: Sequence[Example], features: Features, state: int, device: str) -> list[JsonValue]:
        """The prediction for each example by one state of the model."""
        ...


@runtime_checkable
class ChecksParts(Protocol):
    """What can say before any work whether the dev and the test part can be scored."""

    def check_parts(self, dev: Sequence[Example], test: Sequence[Example]) -> None:
        """Raise BadDataError if one of them cannot."""
        ...


@runtime_checkable
class Settles(Protocol):
    """A trainee that chooses more than weights on the dev part, such as a threshold."""

    def settle(
        self, dev: Sequence[Example], on_dev: Sequence[JsonValue], on_test: Sequence[JsonValue]
    ) -> list[JsonValue]:
        """The predictions on the test part, with what predictions on the dev part decide."""
        ...


@runtime_checkable
class DecodesTest(Protocol):
    """A trainee that predicts the test part in one more way, which would cost too much on the dev part."""

    def for_test(self) -> Trainee:
        """The trainee as it predicts the test part. Both score the predictions of both."""
        ...


@runtime_checkable
class KeepsHeads(Protocol):
    """A trainee whose heads are all scored on the test part in the end, because published figures are the best so."""

    @property
    def keeps_heads(self) -> bool:
        """Whether each head that is scored on the dev part is kept for that."""
        ...


class Task(Protocol):
    """A task, as a spec describes it."""

    @property
    def is_pooled(self) -> bool:
        """Whether heads take the mean over time of each state, rather than frames."""
        ...

    def collect(self, corpora: Sequence[LabelledCorpus], noise: Sequence[LabelledCorpus]) -> list[Example]:
        """All examples, in the order of the corpora. Raises BadDataError for targets that are missing or wrong."""
        ...

    def class_of(self, example: Example) -> str:
        """What a split of single examples keeps shares of; empty for tasks without classes."""
        ...

    def for_training(self, example: Example) -> Example | None:
        """The example as it is trained on, which may be shorter; None: it is not."""
        ...

    def begin(self, train: Sequence[Example], others: Sequence[Example]) -> Trainee | Untrained:
        """The task with the classes of its training examples. `others` are chosen by and scored.

        Raises BadDataError (CLASS_UNSEEN) where those have what nothing can learn.
        """
        ...


@runtime_checkable
class Mixes(Protocol):
    """A task whose examples are made of recordings after the split, so that no set has anything of another one."""

    def mix(self, split: Split, noise: Sequence[LabelledCorpus]) -> Split:
        """The split with its examples made, each set by itself."""
        ...


def read_batch(examples: Sequence[Example], features: Features, device: str) -> Batch:
    """The features of some examples as one batch."""
    found = [features.read(item.key) for item in examples]
    counts = torch.tensor([states.shape[1] for states in found])
    padded = np.zeros((len(found), found[0].shape[0], int(counts.max()), found[0].shape[2]), np.float32)
    for row, states in zip(padded, found, strict=True):
        row[:, : states.shape[1]] = states
    return Batch(tuple(examples), torch.from_numpy(padded).to(device), counts.to(device))
