"""Load a network from a folder or file in any layout: the pipeline's own, Hugging Face's or fairseq's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from wavlm.errors import UsageError
from wavlm.export.fairseq import read_fairseq
from wavlm.export.hf import read_hf
from wavlm.export.sources import find_model
from wavlm.nn import ModelFileError, WavLM, load_model, save_model
from wavlm.nn.description import WEIGHTS_FILE
from wavlm.storage.files import sha256_of

PAPER_CLUSTERS = 500


def load(path: Path | str) -> WavLM:
    """A network in eval mode from a model folder, a Hugging Face folder or a .pt file in fairseq's layout.

    A checkpoint that was released without its pre-training head gets an untrained head for 500 clusters.
    Raises ImportRefusedError for a file that is unsafe, broken, or describes a network that is not supported, and
    ModelFileError for weights that are NaN or infinite.
    """
    return read_model(Path(path)).eval()


@dataclass(frozen=True)
class Imported:
    """What was written: the digest that a recipe's `start` names, and the head."""

    sha256: str  # of `model.safetensors`
    has_head: bool  # False: the checkpoint had none, and the one that was written is untrained
    num_clusters: int  # of the head; 0: it has a quantiser


def import_model(path: Path, out: Path, *, num_clusters: int = PAPER_CLUSTERS) -> Imported:
    """Write a new model folder from a Hugging Face folder or a .pt file in fairseq's layout.

    A checkpoint without a head gets an untrained head for `num_clusters`, and is marked: a training that starts from it
    draws a fresh head with the number of clusters of its recipe.
    Raises UsageError (OUT_EXISTS) if `out` exists, or ImportRefusedError.
    """
    if out.exists():
        raise UsageError("OUT_EXISTS", f"the path exists already; at {out}; name a new folder")
    model = read_model(path, num_clusters)
    save_model(model, out)
    return Imported(sha256_of(out / WEIGHTS_FILE), not model.fresh_head, model.num_clusters)


def read_model(path: Path, num_clusters: int = PAPER_CLUSTERS) -> WavLM:
    """A network in any of the three layouts; an untrained head for `num_clusters` if there is none.

    Raises ImportRefusedError as `load`, and ModelFileError for weights that are NaN or infinite.
    """
    found = find_model(path)
    if found.layout == "native":
        model = load_model(path)
    else:
        model = read_hf(path, num_clusters) if found.layout == "hf" else read_fairseq(path, num_clusters)
    _require_finite(model, path)
    return model


def _require_finite(model: WavLM, path: Path) -> None:
    """A training that diverged leaves such weights, and every figure of them would be an error, or nonsense."""
    broken = {name: int((~torch.isfinite(value)).sum()) for name, value in model.state_dict().items()}
    broken = {name: count for name, count in broken.items() if count}
    if broken:
        first = next(iter(broken))
        raise ModelFileError(
            f"{sum(broken.values())} weights in {len(broken)} tensors are NaN or infinite, such as {broken[first]} of "
            f"{first}, as a training leaves them that diverged; at {path}"
        )
