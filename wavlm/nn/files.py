"""Save and load a model: `model.safetensors` (weights, head included) and `network.json`. No pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from wavlm.nn.description import (
    CODEBOOK_ENTRY,
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

MANY_LAYERS = 64  # more than any released network has; a second builds about 300
# Parts that wrappers add to a parameter's name: torch.compile, DDP, activation checkpointing.
WRAPPERS = frozenset({"_orig_mod", "module", "_checkpoint_wrapped_module"})


def save_model(network: WavLM, folder: Path) -> None:
    """Write a network into a folder, `network.json` last: a folder that has it holds a complete model."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = dict(weights_of(network))
    known = {HEAD_ENTRY: UNTRAINED if network.fresh_head else "", CODEBOOK_ENTRY: network.codebook}
    save_tensors(tensors, folder / WEIGHTS_FILE, known)
    write_json(folder / NETWORK_FILE, describe(network).content)


def describe(network: WavLM) -> NetworkFile:
    """What is needed to build a network of these shapes."""
    return NetworkFile(
        network=network.network,
        num_clusters=network.num_clusters,
        num_streams=network.num_streams,
        quantizer=network.quantizer,
    )


def save_tensors(tensors: Mapping[str, Tensor], path: Path, known: Mapping[str, str]) -> None:
    """Write a safetensors file. `known`: entries of its header; empty ones are left out.

    safetensors writes the entries in another order each time. They are put in order, so that the same tensors give the
    same bytes.
    """
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    entries = {"format": "pt", **{name: value for name, value in known.items() if value}}
    with atomic_path(path) as temporary:
        save_file(contiguous, temporary, metadata=entries)
        with temporary.open("r+b") as file:
            num_bytes = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(num_bytes))
            header["__metadata__"] = dict(sorted(entries.items()))
            text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
            if len(text) > num_bytes:
                raise RuntimeError(f"the header of {path} has {num_bytes} bytes, in order it has {len(text)}")
            file.seek(8)
            file.write(text.ljust(num_bytes))


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
    header = read_header(path)
    network.fresh_head, network.codebook = not header.has_head, header.codebook
    return network


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises ModelFileError if it is missing or damaged.

    In a sealed folder it is compared with its seal first: BadDataError (CHECKSUM).
    """
    if not path.is_file():
        raise ModelFileError(f"{path.name} is missing; at {path}")
    check_sealed(path)
    try:
        return require_weights(load_file(path), path)
    except SafetensorError as error:
        raise ModelFileError(f"this is no complete safetensors file: {error}; at {path}") from error


def require_weights(tensors: dict[str, Tensor], where: Path) -> dict[str, Tensor]:
    """The tensors, if each is one of real numbers that are all in the file. Raises ModelFileError otherwise.

    A file may claim any shape for a few bytes (steps of 0 between numbers), or hold no numbers at all (device meta);
    integers and complex numbers would be converted in silence.
    """
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or tensor.layout != torch.strided or tensor.is_quantized:
            kind = f"of {tensor.dtype}, {tensor.layout}"
        elif tensor.is_meta or tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
            kind = f"of shape {tuple(tensor.shape)} with fewer numbers than that"
        else:
            continue
        raise ModelFileError(f"{name} is a tensor {kind}, expected one of real numbers; at {where}")
    return tensors


def network_from(content: NetworkFile, weights: Mapping[str, Tensor], *, where: Path) -> WavLM:
    """A network with these weights. `where` is named in errors.

    Raises ModelFileError if a tensor is missing, unknown or of the wrong shape.
    No memory is allocated for the sizes that `network.json` claims, only for tensors that exist.
    """
    num_layers = content.network.num_layers + len(content.network.conv_layers)
    if num_layers > MANY_LAYERS:
        _require_layers(content, weights, where)
    network = _build_empty(content, where)
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


def _require_layers(content: NetworkFile, weights: Mapping[str, Tensor], where: Path) -> None:
    """Raise ModelFileError unless every layer has all of its tensors, before layers are built: that may take hours.

    Those of one layer are taken from a network of a single one.
    """
    network = content.network
    if len(network.conv_layers) <= len(weights):
        single = network.model_copy(update={"num_layers": 1})
        parts = _build_empty(content.model_copy(update={"network": single}), where).encoder.layers[0].state_dict()
        complete = (
            all(f"encoder.layers.{layer}.{part}" in weights for part in parts) for layer in range(network.num_layers)
        )
        if all(complete):
            return
    raise ModelFileError(
        f"a network of {len(network.conv_layers)} convolutions and {network.num_layers} layers is described, and the "
        f"{len(weights)} tensors are not those of so many; at {where}"
    )


def _build_empty(content: NetworkFile, where: Path) -> WavLM:
    """A network without memory for its weights. Raises ModelFileError if there can be none."""
    try:
        with torch.device("meta"):
            return WavLM(
                content.network, content.num_clusters, num_streams=content.num_streams, quantizer=content.quantizer
            )
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:  # sizes that torch cannot count
        reason = (str(error).splitlines() or [""])[0]
        raise ModelFileError(f"this describes no possible network: {reason}; at {where}") from error
