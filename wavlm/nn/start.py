"""Whether a training can start from a model's weights. Needs no torch and reads no tensor, so it is known at once.

Shapes alone do not tell: another place of the norms, other strides, another range of the position buckets or another
number of heads can have tensors of the same shapes, and then mean another network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wavlm.errors import BadDataError, UsageError
from wavlm.nn.description import (
    NETWORK_FILE,
    WEIGHTS_FILE,
    ModelFileError,
    NetworkFile,
    WeightsHeader,
    read_header,
    read_network,
)
from wavlm.specs import NetworkSpec, QuantizerSpec
from wavlm.specs.shapes import num_parameters

# Fields that only change how a network is trained. They may differ.
OF_TRAINING = frozenset(
    {"dropout", "attention_dropout", "activation_dropout", "input_dropout", "layer_drop", "feature_grad_mult"}
)
OF_HEAD = frozenset({"projection_width", "special_symbols"})


@dataclass(frozen=True)
class StartHead:
    """What becomes of the head when a training starts from weights."""

    is_kept: bool  # False: it is drawn anew, with the sizes of the recipe
    reason: str
    is_open: bool = False  # the codebook is not there yet: it may be kept after all

    def __str__(self) -> str:
        return f"head is {'open' if self.is_open else 'kept' if self.is_kept else 'fresh'}: {self.reason}"


@dataclass(frozen=True)
class Labelling:
    """The labels that a training predicts, or the quantiser that it learns instead."""

    num_clusters: int  # 0: there are no labels
    codebook: str | None  # sha256 of the centroids; None: they are not there yet
    num_streams: int = 1
    quantizer: QuantizerSpec | None = None


def check_start(folder: Path, network: NetworkSpec, labelling: Labelling) -> StartHead:
    """Compare the model to start from with a recipe's network. Its sha256 is not checked here: that reads all of it.

    Clusters of two codebooks have the same numbers and mean other sounds. So the head is kept only if the codebook is
    the very one that it was trained for. A head with a quantiser has its codebooks in it: it is kept if its shape fits.

    Raises UsageError (START_NETWORK) that names every field that differs, and BadDataError (MODEL_UNUSABLE) if files
    are missing or damaged.
    """
    if not (folder / NETWORK_FILE).is_file():
        raise BadDataError(
            "MODEL_UNUSABLE",
            f"no model to start from: {NETWORK_FILE} is missing; at {folder}; name a folder that `wavlm import` or "
            "`wavlm models pull` wrote",
        )
    found, header = read_network(folder), read_header(folder / WEIGHTS_FILE)
    _require_sizes(found, header.num_numbers, folder)
    shapes = (labelling.num_clusters, labelling.num_streams, labelling.quantizer)
    fits = header.has_head and (found.num_clusters, found.num_streams, found.quantizer) == shapes
    is_same = bool(header.codebook) and header.codebook == labelling.codebook
    is_kept = fits and (is_same or labelling.quantizer is not None)
    if differing := differences(found.network, network, with_head=is_kept):
        raise UsageError(
            "START_NETWORK",
            f"the weights to start from are of another network than the recipe's: {', '.join(differing)}; "
            f"at {folder / NETWORK_FILE}; give the recipe's network the values of this file, or start from other "
            "weights",
        )
    is_open = not is_kept and fits and bool(header.codebook) and labelling.codebook is None
    return StartHead(is_kept, _explain(found, header, labelling), is_open)


def _explain(found: NetworkFile, header: WeightsHeader, labelling: Labelling) -> str:
    wanted = labelling.num_clusters
    ours, theirs = (_describe_head(it.num_clusters, it.quantizer) for it in (labelling, found))
    if not header.has_head:
        return f"the weights have none, the recipe has {ours}"
    if labelling.quantizer or found.quantizer or found.num_clusters != wanted:
        return f"the weights have one for {theirs}, the recipe has {ours}"
    if found.num_streams != labelling.num_streams:
        return f"the weights have heads for {found.num_streams} streams, the recipe has {labelling.num_streams}"
    if not header.codebook:
        which = "but nothing says of which codebook"
    elif labelling.codebook is None:
        which = "and it is kept if they are of the same codebook, which is not there yet"
    else:
        which = "of this very codebook" if header.codebook == labelling.codebook else "of another codebook"
    return f"the weights have one for {wanted} clusters, {which}"


def _describe_head(num_clusters: int, quantizer: QuantizerSpec | None) -> str:
    if quantizer is None:
        return f"{num_clusters} clusters"
    return f"a quantiser of {quantizer.codebooks} x {quantizer.entries} entries of width {quantizer.width}"


def differences(found: NetworkSpec, wanted: NetworkSpec, *, with_head: bool = False) -> list[str]:
    """Each field that makes another network of the weights, with both values; sizes of the head only if asked for."""
    return list(_differences(found, wanted, OF_TRAINING if with_head else OF_TRAINING | OF_HEAD))


def _differences(found: NetworkSpec, wanted: NetworkSpec, skipped: frozenset[str]) -> Iterator[str]:
    """Of the convolutions each number that differs."""
    for name in type(wanted).model_fields:
        theirs, ours = getattr(found, name), getattr(wanted, name)
        if name in skipped or theirs == ours:
            continue
        if name != "conv_layers" or len(theirs) != len(ours):
            sizes = (len(theirs), len(ours)) if name == "conv_layers" else (theirs, ours)
            yield _difference(name, *sizes)
            continue
        for number, (their_layer, our_layer) in enumerate(zip(theirs, ours, strict=True)):
            for part in type(our_layer).model_fields:
                if getattr(their_layer, part) != getattr(our_layer, part):
                    values = getattr(their_layer, part), getattr(our_layer, part)
                    yield _difference(f"{name}.{number}.{part}", *values)


def _difference(name: str, theirs: object, ours: object) -> str:
    return f"{name} is {theirs} there and {ours} in the recipe"


def _require_sizes(found: NetworkFile, num_numbers: int, folder: Path) -> None:
    """Raise ModelFileError if weights and `network.json` cannot belong together."""
    network = found.network
    rows = found.num_clusters + network.special_symbols
    head = (network.width + 1 + rows) * network.projection_width
    described = num_parameters(network, found.num_clusters) - head
    if num_numbers != described:
        raise ModelFileError(
            f"{WEIGHTS_FILE} holds {num_numbers:,} numbers without the head, {NETWORK_FILE} describes {described:,}; "
            f"at {folder}"
        )
