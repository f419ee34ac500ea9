"""The models that iterations start from: there, the ones that the recipe names, and of the network that it trains.

Read without torch: `network.json`, and the header of the weights, which has the shape of each tensor.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from wavlm.errors import BadDataError, UsageError
from wavlm.pipeline.artifacts import Model
from wavlm.pipeline.check.digests import cached_sha256
from wavlm.pipeline.check.wanted import Finding, Remark, Wanted
from wavlm.specs import NetworkSpec, StartSpec

WEIGHTS, NETWORK = "model.safetensors", "network.json"  # of a model folder
HEAD = "head.label_embeddings"
MAX_HEADER_BYTES = 100 << 20
# What is no property of the weights: it only acts while a model trains.
_MAY_DIFFER = frozenset(
    {"dropout", "attention_dropout", "activation_dropout", "input_dropout", "layer_drop", "feature_grad_mult"}
)


def check_starts(wanted: Wanted) -> Iterator[Finding]:
    """Each model to start from is there, has the sha256 of the recipe, its network and its number of clusters."""
    for model in wanted.of(Model):
        if model.start is not None:
            yield from _check_start(model, model.start, wanted)


def _check_start(model: Model, start: StartSpec, wanted: Wanted) -> Iterator[Finding]:
    folder = Path(start.folder).absolute()
    missing = [name for name in (WEIGHTS, NETWORK) if not (folder / name).is_file()]
    if missing:
        yield BadDataError(
            "MODEL_UNUSABLE",
            f"iteration {model.iteration} starts from a model that is not there: no {' and no '.join(missing)}; "
            f"at {folder}; correct start.folder, or make the folder with `wavlm import`",
        )
        return
    problems = [*_check_bytes(folder, start, wanted), *_check_network(folder, model)]
    yield from problems
    if not problems:
        yield Remark(f"iteration {model.iteration} starts from {folder}")


def _check_bytes(folder: Path, start: StartSpec, wanted: Wanted) -> Iterator[Finding]:
    found = cached_sha256(folder / WEIGHTS, wanted.store.root)
    if found != start.sha256:
        yield BadDataError(
            "MODEL_UNUSABLE",
            f"found sha256 {found}, the recipe expects {start.sha256}; at {folder / WEIGHTS}; "
            "correct start.sha256, or get the model that the recipe means",
        )


def _check_network(folder: Path, model: Model) -> Iterator[Finding]:
    try:
        content = json.loads((folder / NETWORK).read_text())
        network = NetworkSpec.model_validate(content["network"], strict=False)
        shapes = _read_shapes(folder / WEIGHTS)
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield BadDataError(
            "MODEL_UNUSABLE",
            f"the model to start from cannot be read: {' '.join(str(error).split())}; at {folder}; "
            "make the folder again with `wavlm import`",
        )
        return
    wanted, found = model.network.model_dump(), network.model_dump()
    different = [name for name in wanted if wanted[name] != found[name] and name not in _MAY_DIFFER]
    if different:
        shown = ", ".join(f"{name} is {found[name]} there and {wanted[name]} in the recipe" for name in different)
        yield UsageError(
            "START_NETWORK",
            f"the model to start from has another network: {shown}; at {folder}; "
            f"correct the network of iteration {model.iteration}, or start from another model",
        )
    yield from _check_classes(folder, model, shapes)


def _check_classes(folder: Path, model: Model, shapes: dict[str, list[int]]) -> Iterator[Finding]:
    """The head has one row per cluster of the recipe, and the network's special symbols."""
    rows = shapes.get(HEAD, [0])[0]
    clusters = model.codebook.spec.num_clusters if model.codebook else rows
    if rows != clusters + model.network.special_symbols:
        found = rows - model.network.special_symbols
        yield UsageError(
            "START_CLASSES",
            f"the model to start from predicts {found} clusters, the recipe makes {clusters}; at {folder}; "
            f"set num_clusters to {found} in iteration {model.iteration}, or import the model again for {clusters}",
        )


def _read_shapes(weights: Path) -> dict[str, list[int]]:
    """Name -> shape, from the header of a safetensors file: 8 bytes of its length, then JSON."""
    with weights.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if not 0 < size <= MAX_HEADER_BYTES:
            raise ValueError(f"{weights.name} has no header of safetensors")
        header = json.loads(file.read(size))
    return {name: tensor["shape"] for name, tensor in header.items() if name != "__metadata__"}
