"""The pre-training head in other layouts: use the one in the file, or make an untrained one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from wavlm.export.errors import ImportRefusedError
from wavlm.export.mapping import HEAD
from wavlm.nn.head import Head
from wavlm.rng import seed_for
from wavlm.specs import NetworkSpec

# final_proj.weight, final_proj.bias, label_embs_concat: the same in both layouts.
HEAD_NAMES = tuple(row.fairseq[0] for row in HEAD)


@dataclass(frozen=True)
class FoundHead:
    """A head's tensors under this project's names, and the sizes that follow from them."""

    weights: dict[str, Tensor]
    projection_width: int
    special_symbols: int
    num_clusters: int
    fresh: bool = False


def find_head(tensors: Mapping[str, Tensor], special_symbols: int) -> FoundHead | None:
    """The head among the tensors of another layout; None if there is none.

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
    return FoundHead(found, labels.shape[1], special_symbols, labels.shape[0] - special_symbols)


def fresh_head(network: NetworkSpec, num_clusters: int) -> FoundHead:
    """An untrained head with a fixed seed, for a checkpoint that was released without its head."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(0, "fresh-head", num_clusters))
        head = Head(network, num_clusters)
    weights = {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
    width, symbols = network.projection_width, network.special_symbols
    return FoundHead(weights, width, symbols, num_clusters, fresh=True)
