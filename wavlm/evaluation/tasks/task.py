"""What a task is: the contract between a task and the code that fits and scores any of them.

Legend: B utterances, S states, F frames, D channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
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
class Moment:
    """Where in its training a batch is: what a margin that grows, or a shuffle, depends on."""

    update: int  # updates that are done; in fine-tuning, of the stage
    updates: int  # of the whole training or stage
    seed: int  # names what is drawn for this batch; the same after a restart


@dataclass(frozen=True)
class Batch:
    """Examples with their features, padded with zeros.

    In evaluations states were computed before; in fine-tuning they come from the network, with gradients.
    """

    examples: tuple[Example, ...]
    states: Tensor  # (B, S, F, D); of pooled features F is 1
    num_frames: Tensor  # (B,)
    waveforms: Tensor | None = None  # (B, N) as the network has them; None: only states were kept
    num_samples: Tensor | None = None  # (B,) of the waveforms without padding
    moment: Moment | None = None  # None: nothing is trained

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
        """The mean loss of a batch, a scalar.

        In fine-tuning a batch is a micro-batch, and those of an update count by their examples: the micro-batches, and
        so their sum, are the same on any number of ranks.
        """
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
class ChecksTested(Protocol):
    """What can say before any work whether all that is tested, of all folds together, can be scored."""

    def check_tested(self, test: Iterable[Example]) -> None:
        """Raise BadDataError if it cannot."""
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
class KeptScorer(Protocol):
    """A scorer that learned what a system in use needs, too, such as a cohort."""

    def save(self, path: Path) -> None:
        """Write it as one safetensors file."""
        ...


@runtime_checkable
class DecodesTest(Protocol):
    """A trainee that predicts the test part in one more way, which would cost too much on the dev part."""

    def for_test(self) -> Trainee:
        """The trainee as it predicts the test part. Both score the predictions of both."""
        ...


@runtime_checkable
class Cuts(Protocol):
    """A trainee whose examples can be cut, which fine-tuning asks for where a stage has crops."""

    def cut(self, example: Example, start: int, stop: int) -> Example:
        """The example with audio and target of the samples from `start` to before `stop`."""
        ...


@runtime_checkable
class Remembers(Protocol):
    """A trainee that can be made again without its training examples, which a saved system needs."""

    @property
    def learned(self) -> JsonValue:
        """What of the training part it goes on needing: classes, symbols or speakers."""
        ...


@runtime_checkable
class Recalls(Protocol):
    """A task whose trainees remember."""

    def recall(self, learned: JsonValue) -> Trainee:
        """The trainee that had learned this, without examples: it makes heads and predicts."""
        ...


@runtime_checkable
class Calibrates(Protocol):
    """A trainee whose scores depend on predictions for recordings that are not scored, such as a cohort of voices."""

    def calibrate_on(self, train: Sequence[Example], dev: Sequence[Example]) -> Sequence[Example]:
        """The examples whose predictions are needed. None: the trainee scores as it is."""
        ...

    def calibrate(self, examples: Sequence[Example], predictions: Sequence[JsonValue]) -> Scorer:
        """What scores the test part, given those examples and the predictions of the tested head for them."""
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

    def collect(self, corpora: Sequence[LabelledCorpus], noise: Sequence[LabelledCorpus]) -> Sequence[Example]:
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
