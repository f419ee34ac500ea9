"""Masked prediction, the pre-training objective of HuBERT and WavLM: its loss, its sums, its metrics.

The loss of an update (docs/algorithm.md section 9):

    L = (sum over micro-batches of [w_m CE_g + w_u CU_g + 10 pen_g S_g]) / (sum over micro-batches of S_g)

The sums go over the micro-batches of all ranks. For micro-batch g:
CE_g and CU_g are the cross entropies summed over its masked and its unmasked frames (nats), w_m and w_u their weights
(1 and 0 in the paper), and pen_g is the mean square of its conv features. The weight 10 is
`TrainSpec.feature_penalty`. S_g counts the frames whose weight is above 0: the masked ones, the unmasked ones, or
both. This is `sample_size` of fairseq's hubert_criterion.py: with both weights 1 an untrained network's loss is ln K
before the penalty, as without unmasked frames.
The division comes last, after all gradients have been summed, by the sum of S_g over all ranks.
Averaging the means of micro-batches would give the frames of small ones more weight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from typing import ClassVar

import torch
from pydantic import ConfigDict
from torch import Tensor, nn

from wavlm.engine.named_numbers import NamedNumbers
from wavlm.engine.ranks import Ranks
from wavlm.loader.batch import Batch
from wavlm.nn import LossTerms
from wavlm.specs import TrainSpec


@dataclass(frozen=True)
class MaskedPredictionSums:
    """Sums over micro-batches. Every metric of the training curve is a quotient of two of them."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")  # tells it from the sums of others

    loss: float = 0.0  # the numerator of the loss: nats, penalty included
    loss_frames: float = 0.0  # S_g: frames whose weight in the loss is above 0
    penalty: float = 0.0  # pen_g S_g
    masked_loss: float = 0.0  # nats
    masked_frames: float = 0.0
    masked_correct: float = 0.0
    unmasked_loss: float = 0.0
    unmasked_frames: float = 0.0  # 0 if unmasked frames were not predicted
    unmasked_correct: float = 0.0
    frames: float = 0.0
    audio_seconds: float = 0.0
    tera_operations: float = 0.0  # of forward and backward, counted from shapes; 0 if not counted

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, float]) -> MaskedPredictionSums:
        """From numbers by name. Names that are no fields are ignored; a missing one raises KeyError."""
        return cls(**{field.name: numbers[field.name] for field in fields(cls)})

    def plus(self, other: MaskedPredictionSums) -> MaskedPredictionSums:
        return MaskedPredictionSums(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def mean_loss(self) -> float:
        """The loss per frame that it counts, nats."""
        return self.loss / max(self.loss_frames, 1.0)

    @property
    def masked_fraction(self) -> float:
        return self.masked_frames / max(self.frames, 1.0)

    def metrics(self, prefix: str) -> dict[str, float]:
        """Means per frame and accuracies, under names like `train/loss`. Of frames that none were, there is no mean."""
        found = {
            "loss": self.mean_loss,
            "loss_bits": self.mean_loss / math.log(2),
            "feature_penalty": self.penalty / max(self.loss_frames, 1.0),  # before its weight
        }
        if self.masked_frames:
            found["masked_loss"] = self.masked_loss / self.masked_frames
            found["masked_accuracy"] = self.masked_correct / self.masked_frames
        if self.unmasked_frames:
            found["unmasked_loss"] = self.unmasked_loss / self.unmasked_frames
            found["unmasked_accuracy"] = self.unmasked_correct / self.unmasked_frames
        return {f"{prefix}/{name}": value for name, value in found.items()}


@dataclass(frozen=True)
class MaskedPredictionLoss:
    """The objective as the trainer uses it: loss and sums of one micro-batch.

    compiled: whether the network is compiled, see `max_masked`.
    """

    train: TrainSpec
    compiled: bool = False

    def compute(self, module: nn.Module, batch: Batch, tera_operations: float = 0.0) -> tuple[Tensor, NamedNumbers]:
        """The numerator of the loss () in nats, and the sums by the names of `MaskedPredictionSums`.

        Unmasked frames are predicted only if they have a weight.
        """
        terms = module(
            batch,
            temperature=self.train.logit_temperature,
            with_unmasked=self.train.unmasked_weight > 0,
            max_masked=max_masked(batch, compiled=self.compiled),
        )
        loss = micro_batch_loss(terms, self.train)
        return loss, micro_batch_sums(loss, terms, self.train, batch, tera_operations)

    def divisor(self, totals: NamedNumbers) -> Tensor:
        """What the gradients of the summed numerators are divided by (): S_g summed over all ranks, at least 1."""
        return totals["loss_frames"].clamp(min=1)

    def unpack(self, numbers: Mapping[str, float]) -> MaskedPredictionSums:
        """The sums among numbers by name."""
        return MaskedPredictionSums.from_numbers(numbers)

    def validation(self, num_clusters: int, device: torch.device, num_streams: int = 1) -> MaskedPredictionValidation:
        """An empty measurement of held-out speech."""
        return MaskedPredictionValidation(self.train, (num_streams, num_clusters), device)


class MaskedPredictionValidation:
    """Sums over the held-out micro-batches of this rank, and how often each label occurs on masked frames."""

    def __init__(self, train: TrainSpec, sizes: tuple[int, int], device: torch.device) -> None:
        """sizes: numbers of streams and of clusters."""
        self._train = train
        self._sums = NamedNumbers.zeros((field.name for field in fields(MaskedPredictionSums)), device)
        self._label_counts = torch.zeros(sizes, dtype=torch.float64, device=device)  # (streams, K)

    def add(self, network: nn.Module, batch: Batch) -> None:
        """Predict all frames of a micro-batch, masked or not, and add its sums."""
        terms = network(batch, temperature=self._train.logit_temperature, with_unmasked=True)
        self._sums.add(micro_batch_sums(micro_batch_loss(terms, self._train), terms, self._train, batch))
        rows = batch.labels.reshape(batch.mask.numel(), -1).T  # (streams, frames)
        self._label_counts.scatter_add_(1, rows, batch.mask.flatten().double().expand(rows.shape))

    def metrics(self, ranks: Ranks, prefix: str) -> dict[str, float]:
        """Metrics of all ranks together, under names like `valid/loss`; none if the loss counts no frame."""
        total = MaskedPredictionSums.from_numbers(self._sums.over_ranks(ranks).start_read()())
        if not total.loss_frames:
            return {}
        return {**total.metrics(prefix), **label_frequency_metrics(ranks.sum(self._label_counts), prefix)}


def count_loss_frames(terms: LossTerms, train: TrainSpec) -> Tensor:
    """S_g (): how many frames of a micro-batch have a weight above 0 in the loss."""
    count = torch.zeros_like(terms.masked.num_frames)
    if train.masked_weight:
        count = count + terms.masked.num_frames
    if terms.unmasked is not None and train.unmasked_weight:
        count = count + terms.unmasked.num_frames
    return count


def micro_batch_loss(terms: LossTerms, train: TrainSpec) -> Tensor:
    """The numerator of the loss of one micro-batch, () in nats."""
    loss = train.masked_weight * terms.masked.loss
    if terms.unmasked is not None and train.unmasked_weight:
        loss = loss + train.unmasked_weight * terms.unmasked.loss
    return loss + train.feature_penalty * terms.feature_penalty * count_loss_frames(terms, train)


def micro_batch_sums(
    loss: Tensor, terms: LossTerms, train: TrainSpec, batch: Batch, tera_operations: float = 0.0
) -> NamedNumbers:
    """The sums of one micro-batch by the names of `MaskedPredictionSums`, on the loss's device."""
    unmasked, loss_frames = terms.unmasked, count_loss_frames(terms, train)
    numbers: dict[str, Tensor | float] = {
        "loss": loss.detach(),
        "loss_frames": loss_frames,
        "penalty": terms.feature_penalty.detach() * loss_frames,
        "masked_loss": terms.masked.loss.detach(),
        "masked_frames": terms.masked.num_frames,
        "masked_correct": terms.masked.num_correct,
        "unmasked_loss": 0.0 if unmasked is None else unmasked.loss.detach(),
        "unmasked_frames": 0.0 if unmasked is None else unmasked.num_frames,
        "unmasked_correct": 0.0 if unmasked is None else unmasked.num_correct,
        "frames": float(batch.mask.numel()),
        "audio_seconds": batch.seconds,
        "tera_operations": tera_operations,
    }
    return NamedNumbers.pack(numbers, loss.device)


def max_masked(batch: Batch, *, compiled: bool) -> int:
    """The number of rows that the prediction head computes; at least the number of masked frames.

    Not compiled: exactly that number.
    Compiled: rounded up to eighths of all frames, because each number of rows is compiled as a graph of its own.
    Nearly all micro-batches of one shape then share a graph, and about a tenth of the rows is empty.
    """
    if not compiled:
        return batch.num_masked
    num_frames = batch.mask.numel()
    eighth = -(-num_frames // 8)
    return min(num_frames, -(-batch.num_masked // eighth) * eighth)


def label_frequency_metrics(label_counts: Tensor, prefix: str) -> dict[str, float]:
    """What a guess reaches that knows only how often each label occurs: the baseline of the network.

    label_counts: (K,), or (streams, K): then the means over the streams.
    majority: accuracy of always predicting the most frequent label.
    label_entropy: cross entropy (nats) of always predicting the frequencies.
    """
    frequencies = label_counts / label_counts.sum(-1, keepdim=True).clamp(min=1)
    entropy = -(frequencies * frequencies.clamp(min=1e-300).log()).sum(-1).mean()
    return {
        f"{prefix}/majority": frequencies.amax(-1).mean().item(),
        f"{prefix}/label_entropy": entropy.item(),
        f"{prefix}/label_perplexity": math.exp(entropy.item()),
    }
