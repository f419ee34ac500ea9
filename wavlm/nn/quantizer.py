"""The product quantiser of wav2vec 2.0: entries of several codebooks, chosen by a Gumbel softmax (algorithm.md 9).

B utterances, F frames, C conv channels, G codebooks, V entries of each, Q width of a frame's vector.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavlm.nn.conv import to_at_least_fp32
from wavlm.specs import QuantizerSpec


@dataclass(frozen=True)
class Quantized:
    """The quantised vectors of frames, and what chose them."""

    vectors: Tensor  # (B, F, Q): the chosen entries, with the gradient of the Gumbel softmax
    codes: Tensor  # (B, F, G) int64: the chosen entries, with noise in training
    likeliest: Tensor  # (B, F, G) int64: the entries with the largest logits, without noise
    probabilities: Tensor  # (B, F, G, V): softmax of the logits, without noise


class Quantizer(nn.Module):
    """Chooses one entry of each codebook per frame.

    In training mode the choice has Gumbel noise, drawn from torch's default generator.
    """

    def __init__(self, channels: int, spec: QuantizerSpec) -> None:
        super().__init__()
        self.shape = (spec.codebooks, spec.entries)
        self.logits = nn.Linear(channels, spec.codebooks * spec.entries)
        self.entries = nn.Parameter(torch.rand(1, spec.codebooks * spec.entries, spec.width // spec.codebooks))
        # As in fairseq's gumbel_vector_quantizer.py.
        nn.init.normal_(self.logits.weight)
        nn.init.zeros_(self.logits.bias)

    def forward(self, features: Tensor, temperature: float) -> Quantized:
        """features (B, F, C) -> vectors, in fp32 or wider also under autocast."""
        projected = self.logits(features)
        with torch.autocast(features.device.type, enabled=False):
            logits = to_at_least_fp32(projected).view(*features.shape[:-1], *self.shape)  # (B, F, G, V)
            soft = functional.softmax((logits + gumbel_noise(logits)) / temperature, -1) if self.training else None
            chosen = (logits if soft is None else soft).detach().argmax(-1)
            hard = functional.one_hot(chosen, self.shape[1]).to(logits.dtype)
            # The added term is 0, and has the gradient of `soft`: the vectors are exactly entries.
            weights = hard if soft is None else hard + (soft - soft.detach())
            entries = to_at_least_fp32(self.entries).view(*self.shape, -1)
            vectors = torch.einsum("bfgv,gvd->bfgd", weights, entries).flatten(2)
            return Quantized(vectors, chosen, logits.detach().argmax(-1), functional.softmax(logits, -1))


def gumbel_noise(logits: Tensor) -> Tensor:
    """Independent draws of the standard Gumbel distribution, of the shape of the logits."""
    exponential = torch.empty_like(logits).exponential_()
    return -exponential.clamp(min=torch.finfo(logits.dtype).tiny).log()  # a draw of 0 would give infinity


def perplexity(choices: Tensor, mask: Tensor) -> Tensor:
    """The sum over codebooks of exp(entropy of the mean over masked frames), (): from G to G V.

    choices (B, F, G, V): probabilities, or ones and zeros; mask (B, F). Without a masked frame it is G.
    """
    weights = mask.to(choices.dtype)
    mean = torch.einsum("bfgv,bf->gv", choices, weights) / weights.sum().clamp(min=1)
    # The logarithm of 0 would have no gradient. fairseq adds 1e-7 instead, which changes the entropy by up to 3e-5.
    return torch.exp(-(mean * mean.clamp(min=torch.finfo(mean.dtype).tiny).log()).sum(-1)).sum()
