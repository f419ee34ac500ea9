"""What ours is compared with where that takes more than a call: cosine head, transformers' WavLM.

The head computes what fairseq's HuBERT criterion computes, in the same large tensors: for each
frame the cosine with its own label's embedding beside those with all classes, the duplicate of the
label among them set to minus infinity.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.workload import Crops
from wavlm.export.hf_config import config_of
from wavlm.export.mapping import encoder_rows, to_layout
from wavlm.nn import WavLM
from wavlm.nn.head import Predictions
from wavlm.specs import NetworkSpec

FEATURE_PENALTY = 10.0
CLIP_NORM = 10.0
TEMPERATURE = 0.1


class CosineHead(nn.Module):
    """Summed cross entropy of frames (S, D) and their labels (S,) through (C + 1, S, P) targets."""

    def __init__(self, width: int, projection_width: int, num_clusters: int) -> None:
        super().__init__()
        self.projection = nn.Linear(width, projection_width)
        self.label_embeddings = nn.Parameter(torch.rand(num_clusters, projection_width))

    def logits(self, frames: Tensor, labels: Tensor) -> Tensor:
        """(S, C + 1): the label's own logit first."""
        projected = self.projection(frames)  # (S, P)
        own = self.label_embeddings[labels]  # (S, P)
        classes = self.label_embeddings[:, None].expand(-1, len(projected), -1)  # (C, S, P)
        candidates = torch.cat([own[None], classes])  # (C + 1, S, P)
        cosine = functional.cosine_similarity(projected.float(), candidates.float(), dim=-1)
        logits = cosine.type_as(projected) / TEMPERATURE
        duplicate = (own == classes).all(-1)  # (C, S)
        logits[1:][duplicate] = -torch.inf
        return logits.T

    def forward(self, frames: Tensor, labels: Tensor) -> Tensor:
        logits = self.logits(frames, labels).float()
        first = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
        return functional.cross_entropy(logits, first, reduction="sum")


def transformers_network(ours: WavLM) -> nn.Module:
    """transformers' WavLMModel with the same shape, the same dropout and the same weights."""
    from transformers import WavLMConfig, WavLMModel

    network = ours.network
    words = config_of(network).model_dump(exclude={"model_type", "pretraining"})
    theirs: nn.Module = WavLMModel(WavLMConfig(**words))
    weights = to_layout(ours.state_dict(), encoder_rows(network), "hf")
    theirs.load_state_dict(weights, strict=True)
    return theirs.to(ours.mask_embedding.device).train()


def cosine_head(ours: WavLM) -> CosineHead:
    """The cosine head with our head's weights; for networks without special symbols."""
    head, spec = ours.head, ours.network
    made = CosineHead(spec.width, spec.projection_width, ours.num_clusters)
    made.load_state_dict(head.state_dict(), strict=True)
    return made.to(ours.mask_embedding.device)


class TransformersPretraining(nn.Module):
    """transformers' WavLM with the loss of fairseq's HuBERT recipe around it, and a head.

    With the cosine head logits of unmasked frames are computed too and only counted, as the recipe
    has it; without it the head is a copy of ours.
    """

    def __init__(self, ours: WavLM, *, cosine: bool = True) -> None:
        super().__init__()
        self.wavlm: Any = transformers_network(ours)
        self.head = cosine_head(ours) if cosine else deepcopy(ours.head)

    def forward(self, waveforms: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        """The summed loss, penalty included."""
        features = self.wavlm.feature_extractor(waveforms).transpose(1, 2)  # (B, F, C)
        penalty = features.float().square().mean()
        hidden, _ = self.wavlm.feature_projection(features)
        hidden[mask] = self.wavlm.masked_spec_embed.to(hidden.dtype)
        output = self.wavlm.encoder(hidden).last_hidden_state
        loss: Tensor = self._prediction_loss(output, labels, mask)
        total: Tensor = loss + FEATURE_PENALTY * penalty * mask.sum()
        return total

    def _prediction_loss(self, output: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        if isinstance(self.head, CosineHead):
            unmasked = self.head.logits(output[~mask], labels[~mask])
            self.num_correct = (unmasked.detach().argmax(-1) == 0).sum()
            loss: Tensor = self.head(output[mask], labels[mask])
            return loss
        predictions: Predictions = self.head(output[mask], labels[mask], TEMPERATURE)
        return predictions.losses.sum()


Forward = Callable[[Tensor, Tensor, Tensor], Tensor]


class PeerStep:
    """One update of a peer: forward, backward, division by the masked frames, clipping, AdamW."""

    def __init__(self, module: nn.Module, precision: str, forward: Forward | None = None) -> None:
        self.module = module
        self.forward: Forward = forward or module
        self.precision = precision
        self.optimizer = torch.optim.AdamW(
            module.parameters(), lr=5e-4, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.01, fused=True
        )

    def on(self, batch: Crops) -> Callable[[], None]:
        """A function that does one update on this batch."""
        kind = batch.waveforms.device.type

        def step() -> None:
            with torch.autocast(kind, torch.bfloat16, enabled=self.precision == "bf16"):
                loss = self.forward(batch.waveforms, batch.labels, batch.mask)
            (loss / batch.mask.sum()).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.module.parameters(), CLIP_NORM)
            self.optimizer.step()
            self.optimizer.zero_grad()

        return step


def without_dropout(network: NetworkSpec, **changes: object) -> NetworkSpec:
    """The network with all dropout off: what comparisons of results are made with."""
    off = dict.fromkeys(("dropout", "attention_dropout", "activation_dropout", "input_dropout"), 0)
    return network.model_copy(update={**off, **changes})
