"""A model on disk: `model.safetensors` (with its head) and `network.json`. No pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from wavlm.errors import BadDataError
from wavlm.nn.wavlm import WavLM
from wavlm.specs import NetworkSpec
from wavlm.storage.files import atomic_path, read_json, write_json

WEIGHTS_FILE = "model.safetensors"
NETWORK_FILE = "network.json"
# Parts of a parameter's path that wrappers add: torch.compile, DDP, activation checkpointing.
WRAPPERS = frozenset({"_orig_mod", "module", "_checkpoint_wrapped_module"})


class ModelFileError(BadDataError):
    """A model's files are missing, broken or do not fit its network."""

    def __init__(self, message: str) -> None:
        super().__init__("MODEL_UNUSABLE", message)


class NetworkFile(BaseModel):
    """Content of `network.json`: all that is needed to build the network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: NetworkSpec
    num_clusters: int = Field(ge=1)


def save_model(network: WavLM, folder: Path) -> None:
    """Write a network into a folder; `network.json` last, so that a model that has it is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights_of(network)}
    with atomic_path(folder / WEIGHTS_FILE) as path:
        save_file(tensors, path, metadata={"format": "pt"})
    content = NetworkFile(network=network.network, num_clusters=network.num_clusters)
    write_json(folder / NETWORK_FILE, content.model_dump(mode="json"))


def weights_of(network: torch.nn.Module) -> list[tuple[str, Tensor]]:
    """Names, free of what wrappers add, and tensors."""
    return [
        (".".join(part for part in name.split(".") if part not in WRAPPERS), tensor)
        for name, tensor in network.state_dict().items()
    ]


def load_model(folder: Path, device: str | torch.device = "cpu") -> WavLM:
    """Read a network that `save_model` wrote, in eval mode."""
    path = folder / WEIGHTS_FILE
    return network_from(read_network(folder), read_weights(path), where=path).to(device).eval()


def read_network(folder: Path) -> NetworkFile:
    """The content of a model folder's `network.json`."""
    path = folder / NETWORK_FILE
    if not path.is_file():
        raise ModelFileError(f"{path} is missing: {folder} is not a (whole) model folder")
    try:
        return NetworkFile.model_validate(read_json(path), strict=False)
    except ValueError as error:  # not JSON, or not what is expected of it
        raise ModelFileError(f"{path} does not describe a network: {error}") from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; a missing or broken one raises ModelFileError."""
    if not path.is_file():
        raise ModelFileError(f"{path} is missing")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ModelFileError(f"{path} is not a whole safetensors file: {error}") from error


def network_from(content: NetworkFile, weights: Mapping[str, Tensor], *, where: Path) -> WavLM:
    """A network with these weights; every tensor must be there, fit, and have a place.

    Memory is taken only for tensors that exist, whatever sizes the description claims.
    """
    with torch.device("meta"):
        network = WavLM(content.network, content.num_clusters)
    expected = network.state_dict()
    problems = [f"{name}: missing" for name in expected.keys() - weights.keys()]
    problems += [f"{name}: has no place" for name in weights.keys() - expected.keys()]
    problems += [
        f"{name}: found {tuple(weights[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    if problems:
        shown = "; ".join(sorted(problems)[:8])
        raise ModelFileError(f"{where}: {len(problems)} tensors do not fit its network: {shown}")
    network.load_state_dict(dict(weights), assign=True)
    return network
