"""The head of wav2vec 2.0: each masked frame against quantised vectors of its utterance (algorithm.md 9).

B utterances, F frames, C conv channels, D width, P projection width, N negatives, G codebooks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavlm.nn.conv import to_at_least_fp32
from wavlm.nn.head import COSINE_EPS
from wavlm.nn.quantizer import Quantizer, perplexity
from wavlm.specs import NetworkSpec, QuantizerSpec


@dataclass(frozen=True)
class Contrast:
    """What a micro-batch is compared with, and how. Nothing of it is learned."""

    negatives: Tensor  # (B, F, N) int64: other masked frames of the utterance; read for masked frames only
    gumbel_temperature: float
    logit_temperature: float  # divides cosines
    dropout: float  # of the conv features before the quantiser


@dataclass(frozen=True)
class ContrastiveTerms:
    """The terms of one micro-batch in an update's loss, and what is measured of it: each ().

    The perplexities are those of all masked frames of the micro-batch together. They do not add up.
    """

    loss: Tensor  # summed cross entropy, nats
    num_frames: Tensor  # int64: the masked ones
    num_correct: Tensor  # int64: frames that are nearest to their own vector
    num_identical: Tensor  # negatives with the very codes of the frame: they are left out of the loss
    soft_perplexity: Tensor  # of the mean probabilities, with a gradient
    hard_perplexity: Tensor  # of the likeliest codes
    feature_penalty: Tensor  # mean square of the conv features


class ContrastiveHead(nn.Module):
    """Projects frames and quantised conv features, and compares them by cosine."""

    def __init__(self, network: NetworkSpec, spec: QuantizerSpec) -> None:
        super().__init__()
        self.quantizer = Quantizer(network.conv_layers[-1].channels, spec)
        self.projection = nn.Linear(network.width, network.projection_width)
        self.target_projection = nn.Linear(spec.width, network.projection_width)

    def forward(
        self, features: Tensor, frames: Tensor, mask: Tensor, contrast: Contrast, penalty: Tensor
    ) -> ContrastiveTerms:
        """features (B, F, C): normed conv features, unmasked; frames (B, F, D): the encoder's output; mask (B, F).

        All frames are quantised, and each is compared with all of its utterance: the shapes do not depend on the mask.
        """
        features = functional.dropout(features, contrast.dropout, self.training)
        quantized = self.quantizer(features, contrast.gumbel_temperature)
        logits = self.logits(frames, quantized.vectors, contrast.logit_temperature)
        same = _find_same(quantized.codes)
        counts = _count_negatives(contrast.negatives, logits.shape[1]).to(logits.dtype)
        own = torch.eye(logits.shape[1], dtype=logits.dtype, device=logits.device)
        weights = counts.masked_fill(same, 0) + own  # how often each frame stands in the denominator
        # The cross entropy of the own vector and the negatives: equal ones are added once per draw.
        losses = torch.logsumexp(logits + weights.log(), -1) - logits.diagonal(dim1=1, dim2=2)
        best = logits.detach().masked_fill(weights == 0, -torch.inf).amax(-1)
        hard = functional.one_hot(quantized.likeliest, self.quantizer.shape[1]).to(logits.dtype)
        return ContrastiveTerms(
            loss=torch.where(mask, losses, 0).sum(),
            num_frames=mask.sum(),
            num_correct=(mask & (logits.detach().diagonal(dim1=1, dim2=2) >= best)).sum(),
            num_identical=(counts * same * mask.unsqueeze(-1)).sum(),
            soft_perplexity=perplexity(quantized.probabilities, mask),
            hard_perplexity=perplexity(hard, mask),
            feature_penalty=penalty,
        )

    def logits(self, frames: Tensor, vectors: Tensor, temperature: float) -> Tensor:
        """cosine / temperature of each frame with the vector of each frame, (B, F, F), in fp32 or wider."""
        projected, targets = self.projection(frames), self.target_projection(vectors)
        with torch.autocast(frames.device.type, enabled=False):
            ours, theirs = (
                functional.normalize(to_at_least_fp32(x), dim=-1, eps=COSINE_EPS) for x in (projected, targets)
            )
            return ours @ theirs.transpose(1, 2) / temperature


def _find_same(codes: Tensor) -> Tensor:
    """Whether two frames of an utterance have the same codes: (B, F, G) -> (B, F, F)."""
    of_books = (book.unsqueeze(2) == book.unsqueeze(1) for book in codes.unbind(-1))
    same = next(of_books)
    for found in of_books:
        same = same & found
    return same


def _count_negatives(negatives: Tensor, num_frames: int) -> Tensor:
    """How often each frame is a negative of each frame: (B, F, N) -> (B, F, F)."""
    counts = torch.zeros(*negatives.shape[:2], num_frames, dtype=torch.int32, device=negatives.device)
    return counts.scatter_add_(2, negatives, torch.ones_like(negatives, dtype=torch.int32))
