"""The recipe that continues from a model that is there: labels from its own layer, its weights, a lower rate."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from wavlm.errors import UsageError
from wavlm.export.sources import find_model, read_model_network
from wavlm.nn.start import differences
from wavlm.pipeline.init.advice import (
    BASE,
    LARGE,
    SMALL,
    TINY,
    Advice,
    NetworkSize,
    choose_batch,
    choose_clusters,
    choose_shards,
    read_shipped,
)
from wavlm.pipeline.init.corpus_advice import HeldShare
from wavlm.pipeline.init.look import Holdings
from wavlm.pipeline.init.machine import Machine
from wavlm.pipeline.init.recipe_advice import MIX, mixtures, probe, training
from wavlm.specs import NetworkSpec
from wavlm.specs.base import FRAME_RATE_HZ
from wavlm.specs.lookup import names_in, shipped_specs
from wavlm.specs.yaml import read_model
from wavlm.storage.encoding import printable

EPOCHS = 25  # docs/recipes.md, continue-base-plus.yaml: more make a model of little speech forget
LEAST_UPDATES = 5000
RATE = 0.2  # of the peak rate from scratch: the full one undoes what was learnt
SIZES = (TINY, SMALL, BASE, LARGE)


@dataclass(frozen=True)
class Continued:
    """A model to continue from: the fields of `models.base`, its network, and the layer that makes the labels."""

    called: str
    fields: object
    network: NetworkSpec
    layer: Advice
    registered: str = ""  # the name of its registered model, whose versions a weekly recipe adds to


def is_reference(text: str) -> bool:
    """Whether this names a registered model, as NAME@ALIAS or NAME:VERSION, and is no file."""
    return not Path(text).exists() and "/" not in text and ("@" in text or ":" in text)


def of_place(text: str, folder: Path) -> Continued:
    """A model folder, a Hugging Face folder, or a shipped description of a released model.

    folder: of the recipe, from which its path is written. Raises UsageError: NOT_FOUND, or MODEL_NETWORK where only the
    weights say which network it has; and ImportRefusedError for what is no model.
    """
    shipped = shipped_specs() / "models"
    if text in names_in(shipped) and not Path(text).exists():
        network = read_model(shipped / f"{text}.yaml").network
        assert network is not None  # noqa: S101 - the shipped ones say it
        return Continued(text, text, network, two_thirds(network))
    place = Path(os.path.expanduser(text))  # noqa: PTH111 - that of Path raises RuntimeError
    if not place.exists():
        raise UsageError(
            "NOT_FOUND",
            f"there is no such model; at {printable(text)}; name a folder, NAME@ALIAS of the registry, or one of "
            f"{', '.join(names_in(shipped))}",
        )
    found = read_model_network(find_model(place))
    if found is None:
        raise UsageError(
            "MODEL_NETWORK",
            f"only its weights say which network it has; at {printable(text)}; make a folder of it first: "
            f"wavlm import {text} FOLDER",
        )
    source = {"type": "folder", "path": os.path.relpath(os.path.realpath(place), os.path.realpath(folder))}
    fields = {"source": source, "license": Advice("unknown", "goes into the card of every model"),
              "network": network_fields(found)}  # fmt: skip
    return Continued(place.name, fields, found, two_thirds(found))


def of_version(reference: str, network: NetworkSpec, scores: Mapping[int, float]) -> Continued:
    """A version of the registry. scores: PNMI of its layers, as far as they were measured."""
    fields = {"registry": reference, "network": network_fields(network)}
    name = re.split("[@:]", reference)[0]
    layer = two_thirds(network)
    if scores:
        best = max(scores, key=lambda layer: scores[layer])
        layer = Advice(best, f"its best layer: PNMI {scores[best]:.3f}")
    return Continued(reference, fields, network, layer, name)


def two_thirds(network: NetworkSpec) -> Advice:
    """The layer that is clustered where nothing was measured."""
    layer = max(1, round(2 * network.num_layers / 3))
    return Advice(layer, f"two thirds of {network.num_layers} layers; the papers take 6 or 9 of 12")


def network_fields(network: NetworkSpec) -> object:
    """The name of a shipped network, or the fields of one that is not."""
    for size in SIZES:
        if not differences(network, read_shipped(size.name)):
            return size.name
    return network.model_dump(mode="json", exclude_defaults=True)


def describe_continued(
    found: Holdings, name: str, held: HeldShare, machine: Machine, model: Continued, *, weekly: bool
) -> dict[str, object]:
    """The fields of a recipe that continues. weekly: each refresh starts from the best version so far."""
    size = _size_of(model.network)
    batch = choose_batch(size, model.network, found.hours, found.lengths.tolist(), machine)
    shards = choose_shards(found, machine, size)
    clusters, sample = choose_clusters(held.train_hours, 500, FRAME_RATE_HZ)
    features = {"type": "hidden", "model": "base", "layer": model.layer.value}
    codebook = {"features": Advice(features, model.layer.why), "num_clusters": clusters}
    if sample:
        codebook["sample_frames_per_cluster"] = sample
    registered = model.registered if weekly and model.registered else name
    champion = {"registry": f"{registered}@champion"} | ({} if model.registered else {"first": "base"})
    models: dict[str, object] = {"base": Advice(model.fields, "makes the labels, each time the same ones")}
    if weekly:
        models["champion"] = Advice(
            champion, "the best so far" + ("" if model.registered else "; base stands in at first")
        )
    return {
        "name": name,
        "description": f"{model.called} continued on {name}",
        "registry_name": Advice(registered, "the model's name in the registry"),
        "speech": [name],
        "models": models,
        "shards": shards,
        **mixtures(held, shards, batch, machine),
        **probe(found),
        "iterations": [
            {
                "codebook": codebook,
                "start": {"model": "champion" if weekly else "base"},
                "mix": MIX,
                "network": {"model": "base"},
                "train": _gentle(
                    training(size, model.network, batch, held.train_hours, machine, 1.0), held.train_hours
                ),
            }
        ],
    }


def _size_of(network: NetworkSpec) -> NetworkSize:
    """The shipped network whose training is the model for this one: by width."""
    widths = {TINY: 256, SMALL: 512, BASE: 896}
    return next((size for size, below in widths.items() if network.width < below), LARGE)


def _gentle(fields: dict[str, object], hours: float) -> dict[str, object]:
    """A training with fewer epochs, a lower rate and a longer warm-up than one from random weights."""
    updates, rate, batch = (fields[name] for name in ("updates", "peak_lr", "batch_seconds"))
    assert isinstance(updates, Advice)  # noqa: S101
    assert isinstance(rate, Advice)  # noqa: S101
    assert isinstance(batch, Advice)  # noqa: S101
    most = max(LEAST_UPDATES, round(EPOCHS * hours * 3600 / float(str(batch.value))))
    count = min(int(str(updates.value)), most)
    why = f"{EPOCHS} times through the speech, at least {LEAST_UPDATES:,}" if count == most else updates.why
    lower = float(f"{RATE * float(str(rate.value)):.2g}")
    return fields | {
        "updates": Advice(count, why),
        "warmup_updates": Advice(max(1, round(0.1 * count)), "10 %: the head is fresh, its first gradients are large"),
        "peak_lr": replace(rate, value=lower, why="a fifth of the rate from scratch, which undoes what was learnt"),
        "valid_every": max(1, count // 8),
        "log_every": max(1, min(count // 50, 500)),
    }
