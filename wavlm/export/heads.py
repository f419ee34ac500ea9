"""What only pre-training needs, and other layouts may lack: the prediction head and the mask embedding."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from wavlm.export.errors import ImportRefusedError
from wavlm.export.mapping import HEAD
from wavlm.nn.head import Head
from wavlm.rng import seed_for
from wavlm.specs import NetworkSpec

# final_proj.weight, final_proj.bias, label_embs_concat: the same in both layouts.
HEAD_NAMES = tuple(row.fairseq[0] for row in HEAD)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoundHead:
    """A head's tensors under this project's names, and the sizes that follow from them."""

    weights: dict[str, Tensor]
    projection_width: int
    special_symbols: int
    num_clusters: int
    fresh: bool = False
    codebook: str = ""  # sha256 of the centroids whose labels it predicts; empty: not known


def find_head(tensors: Mapping[str, Tensor], special_symbols: int, codebook: str = "") -> FoundHead | None:
    """The head among the tensors of another layout; None if there is none. `codebook`: what the file says of it.

    Raises ImportRefusedError for an incomplete head or a wrong shape.
    """
    found = {row.ours: tensors[row.fairseq[0]].float() for row in HEAD if row.fairseq[0] in tensors}
    if not found:
        return None
    if len(found) < len(HEAD):
        raise ImportRefusedError(
            f"only {', '.join(sorted(found))} were found, expected all of {', '.join(HEAD_NAMES)}; "
            "in the pre-training head"
        )
    labels = found["head.label_embeddings"]
    if labels.ndim != 2 or labels.shape[0] <= special_symbols:
        raise ImportRefusedError(
            f"found {tuple(labels.shape)}, expected (clusters + {special_symbols} special symbols, width); "
            "in label_embs_concat"
        )
    num_clusters = labels.shape[0] - special_symbols
    return FoundHead(found, labels.shape[1], special_symbols, num_clusters, codebook=codebook)


def fresh_head(network: NetworkSpec, num_clusters: int) -> FoundHead:
    """An untrained head with a fixed seed, for a checkpoint that was released without its head."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(0, "fresh-head", num_clusters))
        head = Head(network, num_clusters)
    weights = {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
    width, symbols = network.projection_width, network.special_symbols
    return FoundHead(weights, width, symbols, num_clusters, fresh=True)


def add_mask_embedding(theirs: Mapping[str, Tensor], name: str, network: NetworkSpec, where: Path) -> dict[str, Tensor]:
    """The tensors with a mask embedding: the one that is there, or a fresh one with a fixed seed, which is said.

    transformers leaves it out of models whose `mask_time_prob` is 0. Only masked training uses it.
    """
    if name in theirs:
        return dict(theirs)
    _log.warning(
        "no mask embedding (%s); in %s; a fresh one is used: hidden states do not depend on it, but training starts "
        "with it untrained",
        name,
        where,
    )
    generator = torch.Generator().manual_seed(seed_for(0, "fresh-mask-embedding", network.width))
    return {**theirs, name: torch.rand(network.width, generator=generator)}
