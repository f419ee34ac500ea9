"""The recipe of a fine-tuning that somebody asks for by a system's spec and a model."""

from __future__ import annotations

from pathlib import Path

from tasks.registry.lookup import find_network
from wavlm.errors import UsageError
from wavlm.pipeline.request import reference_of, write_finetune_request
from wavlm.pipeline.store import Store
from wavlm.specs.yaml import read_finetune


def request_system(system: Path, model: str, store: Store) -> Path:
    """Write the recipe into the store; return its path. model: what the system stands on; empty: what its spec says.

    Raises UsageError (SUBJECT_UNKNOWN) if neither says what it stands on, and RecipeError. The registry is asked for
    the network of one of its versions.
    """
    spec = read_finetune(system)
    name = model or spec.model
    if not name:
        raise UsageError(
            "SUBJECT_UNKNOWN",
            f"{spec.name} names no model to stand on; at {system}; give one, as in --model wavlm-demo@champion: "
            "NAME@ALIAS, a folder, or fbank",
        )
    reference = reference_of(name)
    network = find_network(store, reference) if reference else None
    return write_finetune_request(spec, name, store, network)
