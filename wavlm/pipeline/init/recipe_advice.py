"""The recipe for speech that was looked at: shards, mixtures and iterations, with the reasons."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from wavlm.corpus.manifest import ManifestRow
from wavlm.pipeline.init.advice import (
    FIRST_SHARE,
    MFCC_RATE_HZ,
    PAPER_HOURS,
    SHORT_UPDATES,
    TINY,
    Advice,
    BatchSizes,
    NetworkSize,
    choose_batch,
    choose_clusters,
    choose_lr,
    choose_shards,
    choose_size,
    choose_updates,
    read_shipped,
)
from wavlm.pipeline.init.corpus_advice import HeldShare, has_phones
from wavlm.pipeline.init.look import Holdings
from wavlm.pipeline.init.machine import Machine
from wavlm.specs import NetworkSpec
from wavlm.specs.base import FRAME_RATE_HZ

ONE_ITERATION_HOURS = 1.0
MIX = Advice(
    "robust-speech", "other speakers, telephones, microphones and levels are mixed in; wavlm-base: speakers only"
)


def describe_recipe(found: Holdings, name: str, held: HeldShare, machine: Machine) -> dict[str, object]:
    """The fields of a recipe that starts from random weights."""
    size, why = choose_size(found.hours, machine)
    network = read_shipped(size.name)
    batch = choose_batch(size, network, found.hours, found.lengths.tolist(), machine)
    shards = choose_shards(found, machine, size)
    return {
        "name": name,
        "description": f"WavLM {size.name} on {name}",
        "registry_name": Advice(name, "the model's name in the registry"),
        "speech": [name],
        "shards": shards,
        **mixtures(held, shards, batch, machine),
        **probe(found),
        "iterations": _iterations(held, machine, size, network, batch, why),
    }


def mixtures(held: HeldShare, shards: dict[str, Advice], batch: BatchSizes, machine: Machine) -> dict[str, object]:
    """The fixed mixtures for validation, if enough is held out for them."""
    usable = _num_utterances(held.rows, shards)
    if usable < 2:
        return {}
    count = min(200 if machine.gpus else 16, usable)
    return {
        "mixtures": {
            "num_utterances": Advice(count, f"of {usable:,} that are held out: validation under noise and overlap"),
            "max_seconds": Advice(batch.crop_seconds.value, "as the crops of training"),
        }
    }


def _num_utterances(rows: Sequence[ManifestRow], shards: dict[str, Advice]) -> int:
    """About how many utterances the shards will have of these recordings; rather too few."""
    least = float(str(shards["min_seconds"].value))
    if "join_seconds" not in shards:
        return sum(row.seconds >= least for row in rows)
    seconds: dict[str, float] = defaultdict(float)
    for row in rows:
        seconds[row.speaker] += row.seconds
    longest = float(str(shards["join_seconds"].value))
    return sum(max(1, int(total / longest)) for total in seconds.values() if total >= least)


def probe(found: Holdings) -> dict[str, object]:
    """The scores of layers, where recordings have timed phones."""
    if not has_phones(found.reading.recordings):
        return {}
    return {
        "probe": {"num_clusters": Advice(100, "there are timed phones: every layer is scored"), "max_utterances": 400}
    }


def _iterations(
    held: HeldShare, machine: Machine, size: NetworkSize, network: NetworkSpec, batch: BatchSizes, why: str
) -> list[dict[str, object]]:
    """One iteration on MFCC, and one on a layer of its model where there is enough speech for it."""
    hours = held.train_hours
    count = 1 if hours < ONE_ITERATION_HOURS else 2
    clusters, sample = choose_clusters(hours, 100, MFCC_RATE_HZ)
    share = FIRST_SHARE if count == 2 else 1.0
    codebook: dict[str, object] = {"features": {"type": "mfcc"}, "num_clusters": clusters}
    if sample:
        codebook["sample_frames_per_cluster"] = sample
    first = {
        "codebook": codebook,
        "network": Advice(size.name, why),
        "train": training(size, network, batch, hours, machine, share),
    }
    if count == 1:
        return [{**first, "mix": MIX}]
    layer = network.num_layers // 2 or 1
    wanted = 500 if size is not TINY else 100
    more, sample = choose_clusters(hours, wanted, FRAME_RATE_HZ)
    why_layer = f"layer {layer} of {network.num_layers}, as HuBERT takes 6 of 12"
    second = {"features": Advice({"type": "hidden", "layer": layer}, why_layer), "num_clusters": more}
    if sample:
        second["sample_frames_per_cluster"] = sample
    return [
        first,
        {
            "codebook": second,
            "mix": MIX,
            "network": size.name,
            "train": training(size, network, batch, hours, machine, 1 - share),
        },
    ]


def training(
    size: NetworkSize, network: NetworkSpec, batch: BatchSizes, hours: float, machine: Machine, share: float
) -> dict[str, object]:
    """The fields of a training."""
    updates = choose_updates(size, network, batch, hours, machine, share)
    count = int(str(updates.value))
    fields: dict[str, object] = {
        "updates": updates,
        "warmup_updates": Advice(max(1, round(0.08 * count)), "8 %, as in HuBERT"),
        "peak_lr": choose_lr(size, float(str(batch.batch_seconds.value))),
        "batch_seconds": batch.batch_seconds,
        "group_seconds": batch.group_seconds,
        "max_crop_seconds": batch.crop_seconds,
        "clip_norm": Advice(size.clip_norm, size.source),
    }
    if size is TINY or count < SHORT_UPDATES:
        fields["unmasked_weight"] = Advice(1.0, "in short trainings visible frames teach, too (docs/recipes.md)")
        fields["feature_penalty"] = Advice(0.6, "likewise")
    if machine.gpus:
        fields["crop_frames_multiple"] = Advice(32, "few shapes, for --compile")
        fields["precision"] = Advice(machine.precision, "the fastest: fp16 on a V100, T4 and older, else bf16")
    fields["valid_every"] = max(1, count // 8)
    fields["log_every"] = max(1, min(count // 50, 500))
    return fields


def warn_of_size(hours: float) -> str:
    """What a person should expect of so much speech; empty if nothing has to be said."""
    if hours < ONE_ITERATION_HOURS:
        return f"{hours:.2f} h show that all works; for a useful model continue from a released one (--continue)"
    if hours < PAPER_HOURS / 10:
        return f"{hours:.0f} h are little: a model that continues from a released one is better (--continue)"
    return ""
