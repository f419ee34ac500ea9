"""Save and load a model: `model.safetensors` (weights, head included) and `network.json`. No pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from wavlm.nn.description import (
    HEAD_ENTRY,
    NETWORK_FILE,
    UNTRAINED,
    WEIGHTS_FILE,
    ModelFileError,
    NetworkFile,
    read_header,
    read_network,
)
from wavlm.nn.wavlm import WavLM
from wavlm.storage.files import atomic_path, write_json
from wavlm.storage.seals import check_sealed

# Parts that wrappers add to a parameter's name: torch.compile, DDP, activation checkpointing.
WRAPPERS = frozenset({"_orig_mod", "module", "_checkpoint_wrapped_module"})


def save_model(network: WavLM, folder: Path) -> None:
    """Write a network into a folder, `network.json` last: a folder that has it holds a complete model."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights_of(network)}
    with atomic_path(folder / WEIGHTS_FILE) as path:
        save_file(tensors, path, metadata={"format": "pt", **({HEAD_ENTRY: UNTRAINED} if network.fresh_head else {})})
    content = NetworkFile(network=network.network, num_clusters=network.num_clusters)
    write_json(folder / NETWORK_FILE, content.model_dump(mode="json"))


def weights_of(network: torch.nn.Module) -> list[tuple[str, Tensor]]:
    """Names, without the parts that wrappers add, and tensors."""
    return [
        (".".join(part for part in name.split(".") if part not in WRAPPERS), tensor)
        for name, tensor in network.state_dict().items()
    ]


def load_model(folder: Path, device: str | torch.device = "cpu") -> WavLM:
    """The network that `save_model` wrote, in eval mode. Raises ModelFileError."""
    path = folder / WEIGHTS_FILE
    network = network_from(read_network(folder), read_weights(path), where=path).to(device).eval()
    network.fresh_head = not read_header(path).has_head
    return network


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises ModelFileError if it is missing or damaged.

    In a sealed folder it is compared with its seal first: BadDataError (CHECKSUM).
    """
    if not path.is_file():
        raise ModelFileError(f"{path.name} is missing; at {path}")
    check_sealed(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ModelFileError(f"this is no complete safetensors file: {error}; at {path}") from error


def network_from(content: NetworkFile, weights: Mapping[str, Tensor], *, where: Path) -> WavLM:
    """A network with these weights. `where` is named in errors.

    Raises ModelFileError if a tensor is missing, unknown or of the wrong shape.
    No memory is allocated for the sizes that `network.json` claims, only for tensors that exist.
    """
    with torch.device("meta"):
        network = WavLM(content.network, content.num_clusters)
    expected = network.state_dict()
    problems = [f"{name}: missing" for name in expected.keys() - weights.keys()]
    problems += [f"{name}: not a tensor of this network" for name in weights.keys() - expected.keys()]
    problems += [
        f"{name}: found {tuple(weights[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    if problems:
        shown = ", ".join(sorted(problems)[:8])
        raise ModelFileError(f"{len(problems)} tensors do not fit the network ({shown}); at {where}")
    network.load_state_dict(dict(weights), assign=True)
    return network
