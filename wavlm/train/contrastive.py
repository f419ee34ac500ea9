"""The contrastive objective of wav2vec 2.0: its loss, its sums, its metrics, and the sign of its collapse.

The loss of an update (docs/algorithm.md section 9):

    L = (sum over micro-batches of [CE_g + 0.1 S_g D_g + 10 S_g pen_g]) / (sum over micro-batches of S_g)

The sums go over the micro-batches of all ranks. For micro-batch g: CE_g is the cross entropy of its S_g masked frames
(nats), each against its own quantised vector and those of negatives; D_g = (G V - P_g) / (G V), with P_g the perplexity
of the mean probabilities of its entries; pen_g the mean square of its conv features. The weights are
`Contrastive.diversity_weight` and `TrainSpec.feature_penalty`.

P_g does not add up over micro-batches. So it belongs to the micro-batch, which no number of ranks changes.

B utterances, F frames, N negatives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from typing import ClassVar

import numpy as np
import torch
from pydantic import ConfigDict
from torch import Tensor, nn

from wavlm.engine.named_numbers import NamedNumbers
from wavlm.engine.ranks import Ranks
from wavlm.errors import BadDataError
from wavlm.loader.batch import Batch
from wavlm.loader.masking import draw_numbers
from wavlm.nn import Contrast, ContrastiveTerms
from wavlm.rng import seed_for
from wavlm.specs import Contrastive, TrainSpec


@dataclass(frozen=True)
class ContrastiveSums:
    """Sums over micro-batches. Every metric of the training curve is a quotient of two of them."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")  # tells it from the sums of others

    loss: float = 0.0  # the numerator of the loss: nats, with diversity and penalty
    loss_frames: float = 0.0  # S_g: masked frames
    penalty: float = 0.0  # pen_g S_g
    contrast_loss: float = 0.0  # nats
    contrast_correct: float = 0.0  # frames that are nearest to their own vector
    diversity: float = 0.0  # D_g S_g
    soft_perplexity: float = 0.0  # P_g S_g
    hard_perplexity: float = 0.0  # the same of the likeliest codes
    negatives: float = 0.0
    identical_negatives: float = 0.0  # those with the codes of their frame
    frames: float = 0.0
    audio_seconds: float = 0.0
    tera_operations: float = 0.0  # of forward and backward, counted from shapes; 0 if not counted

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, float]) -> ContrastiveSums:
        """From numbers by name. Names that are no fields are ignored; a missing one raises KeyError."""
        return cls(**{field.name: numbers[field.name] for field in fields(cls)})

    def plus(self, other: ContrastiveSums) -> ContrastiveSums:
        return ContrastiveSums(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def mean_loss(self) -> float:
        """The loss per masked frame, nats."""
        return self.loss / max(self.loss_frames, 1.0)

    @property
    def masked_fraction(self) -> float:
        return self.loss_frames / max(self.frames, 1.0)

    @property
    def mean_hard_perplexity(self) -> float:
        return self.hard_perplexity / max(self.loss_frames, 1.0)

    def metrics(self, prefix: str) -> dict[str, float]:
        """Means per masked frame, under names like `train/loss`; perplexities are means over micro-batches."""
        frames = max(self.loss_frames, 1.0)
        found = {
            "loss": self.mean_loss,
            "loss_bits": self.mean_loss / math.log(2),
            "feature_penalty": self.penalty / frames,  # before its weight
            "contrast_loss": self.contrast_loss / frames,
            "contrast_accuracy": self.contrast_correct / frames,
            "diversity": self.diversity / frames,  # before its weight
            "soft_perplexity": self.soft_perplexity / frames,
            "hard_perplexity": self.mean_hard_perplexity,
            "identical_negatives": self.identical_negatives / max(self.negatives, 1.0),
        }
        return {f"{prefix}/{name}": value for name, value in found.items()}


@dataclass(frozen=True)
class ContrastiveLoss:
    """The objective as the trainer uses it: loss and sums of one micro-batch.

    done_updates: the temperature of the Gumbel softmax follows from it.
    """

    train: TrainSpec
    spec: Contrastive
    done_updates: int = 0

    def compute(self, module: nn.Module, batch: Batch, tera_operations: float = 0.0) -> tuple[Tensor, NamedNumbers]:
        """The numerator of the loss () in nats, and the sums by the names of `ContrastiveSums`."""
        position = batch.position
        negatives = draw_negatives(batch.mask, self.spec.num_negatives, self._seed(position.epoch, position.group))
        return self._measure(module, batch, negatives, tera_operations)

    def compute_valid(self, module: nn.Module, batch: Batch) -> NamedNumbers:
        """The sums of a held-out micro-batch, whose negatives are the same in every validation."""
        seed = self._seed("valid", batch.position.group)
        return self._measure(module, batch, draw_negatives(batch.mask, self.spec.num_negatives, seed), 0.0)[1]

    def divisor(self, totals: NamedNumbers) -> Tensor:
        """What the gradients of the summed numerators are divided by (): S_g summed over all ranks, at least 1."""
        return totals["loss_frames"].clamp(min=1)

    def unpack(self, numbers: Mapping[str, float]) -> ContrastiveSums:
        """The sums among numbers by name."""
        return ContrastiveSums.from_numbers(numbers)

    def validation(
        self,
        num_clusters: int,  # noqa: ARG002 - no labels
        device: torch.device,
        num_streams: int = 1,  # noqa: ARG002 - no labels
    ) -> ContrastiveValidation:
        """An empty measurement of held-out speech."""
        return ContrastiveValidation(self, device)

    def _seed(self, *names: str | int) -> int:
        return seed_for(self.train.seed, "negatives", *names)

    def _measure(
        self, module: nn.Module, batch: Batch, negatives: Tensor, tera_operations: float
    ) -> tuple[Tensor, NamedNumbers]:
        contrast = Contrast(
            negatives,
            gumbel_temperature=self.spec.temperature(self.done_updates),
            logit_temperature=self.train.logit_temperature,
            dropout=self.spec.quantizer_dropout,
        )
        terms: ContrastiveTerms = module(batch, contrast=contrast)
        loss = micro_batch_loss(terms, self.train, self.spec)
        numbers: dict[str, Tensor | float] = {
            "loss": loss.detach(),
            "loss_frames": terms.num_frames,
            "penalty": terms.feature_penalty.detach() * terms.num_frames,
            "contrast_loss": terms.loss.detach(),
            "contrast_correct": terms.num_correct,
            "diversity": _unused_share(terms, self.spec).detach() * terms.num_frames,
            "soft_perplexity": terms.soft_perplexity.detach() * terms.num_frames,
            "hard_perplexity": terms.hard_perplexity * terms.num_frames,
            "negatives": terms.num_frames * self.spec.num_negatives,
            "identical_negatives": terms.num_identical,
            "frames": float(batch.mask.numel()),
            "audio_seconds": batch.seconds,
            "tera_operations": tera_operations,
        }
        return loss, NamedNumbers.pack(numbers, loss.device)


class ContrastiveValidation:
    """Sums over the held-out micro-batches of this rank."""

    def __init__(self, objective: ContrastiveLoss, device: torch.device) -> None:
        self._objective = objective
        self._sums = NamedNumbers.zeros((field.name for field in fields(ContrastiveSums)), device)

    def add(self, network: nn.Module, batch: Batch) -> None:
        """Add the sums of a micro-batch. In eval mode the quantiser chooses without noise."""
        self._sums.add(self._objective.compute_valid(network, batch))

    def metrics(self, ranks: Ranks, prefix: str) -> dict[str, float]:
        """Metrics of all ranks together, under names like `valid/loss`; none if no frame is masked."""
        total = ContrastiveSums.from_numbers(self._sums.over_ranks(ranks).start_read()())
        return total.metrics(prefix) if total.loss_frames else {}


def micro_batch_loss(terms: ContrastiveTerms, train: TrainSpec, spec: Contrastive) -> Tensor:
    """The numerator of the loss of one micro-batch, () in nats."""
    beside = spec.diversity_weight * _unused_share(terms, spec) + train.feature_penalty * terms.feature_penalty
    return terms.loss + beside * terms.num_frames


def _unused_share(terms: ContrastiveTerms, spec: Contrastive) -> Tensor:
    """D_g (): 0 if all entries are used alike."""
    entries = spec.quantizer.codebooks * spec.quantizer.entries
    return (entries - terms.soft_perplexity) / entries


def count_collapsed(spec: Contrastive, before: int, update: int, totals: ContrastiveSums) -> int:
    """How many updates in a row, up to this one, had nearly one code for all frames. before: up to the one before it.

    Raises BadDataError (CODES_COLLAPSED) after `collapse_updates` of them, on all ranks: the totals are those of all.
    """
    found, least = totals.mean_hard_perplexity, spec.least_perplexity
    if found >= least:
        return 0
    if before + 1 >= spec.collapse_updates:
        raise BadDataError(
            "CODES_COLLAPSED",
            f"the hard perplexity of the codes is {found:.3f}, expected {least:g} or more (one code for all frames has "
            f"{spec.quantizer.codebooks}, all entries alike have {spec.quantizer.codebooks * spec.quantizer.entries}), "
            f"for {before + 1} updates; at update {update}; loss and accuracy look best there; lower peak_lr, raise "
            "objective.diversity_weight or feature_penalty, or warm up longer",
        )
    return before + 1


def draw_negatives(mask: Tensor, num_negatives: int, seed: int) -> Tensor:
    """Other masked frames of the same utterance for each masked frame: mask (B, F) -> (B, F, N) int64.

    They are drawn uniformly and with replacement, never the frame itself. It is integer arithmetic, so every device
    draws the same. What stands at frames that are not masked means nothing.
    """
    rows, num_frames = mask.shape
    seeds = np.array([seed], np.uint64)
    numbers = draw_numbers(seeds, mask.numel() * num_negatives, mask.device).view(rows, num_frames, num_negatives)
    running = mask.cumsum(1)  # (B, F): masked frames up to each frame
    others = (running[:, -1:, None] - 1).clamp(min=1)
    chosen = (numbers >> 21) * others >> 32  # the upper 32 of 53 bits, times the number of others: 0 .. others - 1
    chosen = chosen + (chosen >= (running - 1).unsqueeze(-1))  # numbered among all masked frames: its own is left out
    places = torch.searchsorted(running, (chosen + 1).flatten(1)).view_as(chosen)
    return places.clamp(max=num_frames - 1)
