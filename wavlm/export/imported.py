"""The model stage: a model in any of the three layouts becomes a model folder of this pipeline."""

from __future__ import annotations

from pathlib import Path

from wavlm.errors import BadDataError
from wavlm.export.facts import ModelFacts
from wavlm.export.read import read_model
from wavlm.export.sources import check_network, content_of, find_model
from wavlm.nn import save_model
from wavlm.nn.description import WEIGHTS_FILE
from wavlm.specs import NetworkSpec
from wavlm.storage.files import sha256_of


def build_model(place: Path, out: Path, content: str | None = None, network: NetworkSpec | None = None) -> ModelFacts:
    """Write `model.safetensors` and `network.json` from the model at a place.

    content: the digest that the model must have, as `content_of` makes it. network: the network that it must have.
    Raises BadDataError (MODEL_CHANGED, MODEL_UNUSABLE) and UsageError (MODEL_NETWORK).
    """
    files = find_model(place)
    found = content_of(files, sha256_of)
    if content is not None and found != content:
        raise BadDataError(
            "MODEL_CHANGED",
            f"the content is {found}, expected {content}; at {place}; run again, which reads it anew, or correct "
            "`content` of the model",
        )
    model = read_model(place)
    check_network(model.network, network, place)
    save_model(model, out)
    return ModelFacts(
        layout=files.layout,
        content=found,
        sha256=sha256_of(out / WEIGHTS_FILE),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        num_layers=model.network.num_layers,
        width=model.network.width,
        has_head=not model.fresh_head,
        num_clusters=model.num_clusters,
        codebook=model.codebook,
    )
