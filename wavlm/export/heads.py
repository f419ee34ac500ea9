"""What only pre-training needs, and other layouts may lack: the prediction head and the mask embedding."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from wavlm.export.errors import ImportRefusedError
from wavlm.export.mapping import CONTRASTIVE_HEAD, HEAD, ModelLayout
from wavlm.nn.head import Head
from wavlm.rng import seed_for
from wavlm.specs import NetworkSpec, QuantizerSpec

# final_proj.weight, final_proj.bias, label_embs_concat: the same in both layouts.
HEAD_NAMES = tuple(row.fairseq[0] for row in HEAD)
# Of wav2vec 2.0's head: they differ.
CONTRASTIVE_NAMES: dict[ModelLayout, tuple[str, ...]] = {
    "hf": tuple(row.hf[0] for row in CONTRASTIVE_HEAD),
    "fairseq": tuple(row.fairseq[0] for row in CONTRASTIVE_HEAD),
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoundHead:
    """A head's tensors under this project's names, and the sizes that follow from them."""

    weights: dict[str, Tensor]
    projection_width: int
    special_symbols: int
    num_clusters: int  # 0: it has a quantiser
    fresh: bool = False
    quantizer: QuantizerSpec | None = None  # of wav2vec 2.0
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


def find_contrastive_head(tensors: Mapping[str, Tensor], layout: ModelLayout) -> FoundHead | None:
    """wav2vec 2.0's head among the tensors of another layout; None if there is no quantiser.

    Raises ImportRefusedError for an incomplete head or a wrong shape.
    """
    names = CONTRASTIVE_NAMES[layout]
    ours = (row.ours for row in CONTRASTIVE_HEAD)
    found = {mine: tensors[name].float() for mine, name in zip(ours, names, strict=True) if name in tensors}
    if "head.quantizer.entries" not in found:
        return None
    if missing := [name for name in names if name not in tensors]:
        raise ImportRefusedError(f"{', '.join(missing)} were not found beside a quantiser; in the pre-training head")
    entries, targets = found["head.quantizer.entries"], found["head.target_projection.weight"]
    codebooks = _count_codebooks(entries.shape, targets.shape)
    if not codebooks:
        raise ImportRefusedError(
            f"found entries of {tuple(entries.shape)} and a projection of {tuple(targets.shape)}, expected "
            "(1, codebooks x entries, width / codebooks) and (projection width, width); in the quantiser"
        )
    spec = QuantizerSpec(codebooks=codebooks, entries=entries.shape[1] // codebooks, width=targets.shape[1])
    return FoundHead(found, targets.shape[0], 0, 0, quantizer=spec)


def _count_codebooks(entries: Sequence[int], targets: Sequence[int]) -> int:
    """Of entries (1, G V, Q / G) and a projection (P, Q); 0 if these are no such shapes."""
    if len(entries) != 3 or len(targets) != 2 or entries[0] != 1 or not entries[2] or targets[1] % entries[2]:
        return 0
    codebooks = targets[1] // entries[2]
    is_split = codebooks and entries[1] % codebooks == 0 and entries[1] >= 2 * codebooks
    return codebooks if is_split else 0


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
