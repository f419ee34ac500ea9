"""The recipe of a fine-tuning that somebody asks for by a system's spec and a model."""

from __future__ import annotations

from pathlib import Path

from tasks.registry.lookup import find_network
from wavlm.errors import UsageError
from wavlm.finetune.sources import find_system
from wavlm.pipeline.request import reference_of, write_finetune_request
from wavlm.pipeline.store import Store
from wavlm.specs.system_file import read_systems


def request_system(system: Path, model: str, store: Store, going_on_from: str = "") -> Path:
    """Write the recipe into the store; return its path.

    model: what the first system stands on; going_on_from: the system whose training goes on; empty: what the spec says.
    Raises UsageError (SUBJECT_UNKNOWN) if neither says what it stands on, RecipeError, and what is known to be wrong
    with the head of a system that is a folder. The registry is asked for the network of one of its versions.
    """
    specs = read_systems(system, going_on_from)
    first = specs[0]
    if model and first.system:
        raise UsageError(
            "SUBJECT_UNKNOWN",
            f"{first.name} goes on from the system {first.system}, and the model {model} is given; in the command; "
            "leave one of them out",
        )
    name = first.system or model or first.model
    if not name:
        raise UsageError(
            "SUBJECT_UNKNOWN",
            f"{first.name} names no model to stand on; at {system}; give one, as in --model wavlm-demo@champion: "
            "NAME@ALIAS, a folder, or fbank",
        )
    if first.system:
        if Path(name).is_dir():
            from wavlm.finetune.start_head import check_start

            find_system(Path(name))
            check_start(first, Path(name))
        return write_finetune_request(specs, name, store)
    reference = reference_of(name)
    network = find_network(store, reference) if reference else None
    return write_finetune_request(specs, name, store, network)
