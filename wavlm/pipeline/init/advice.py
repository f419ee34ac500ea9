"""Choose the numbers of a recipe for the speech that there is and the machine that trains: each rule once, with reason.

Sources: docs/algorithm.md (the papers), docs/recipes.md and docs/log.md (our trials). A rule without one is our own
choice and says so in its reason.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wavlm.pipeline.init.look import Holdings
from wavlm.pipeline.init.machine import Machine
from wavlm.specs import NetworkSpec
from wavlm.specs.lookup import shipped_specs
from wavlm.specs.shapes import BACKWARD_FACTOR, forward_flops, num_parameters
from wavlm.specs.yaml import read_network

MOST_EPOCHS = 324  # of HuBERT's second iteration: 400,000 updates of 2800 s on 960 h (docs/algorithm.md 10)
PAPER_HOURS = 960.0
MFCC_RATE_HZ = 100
FRAMES_PER_CLUSTER = 1000  # of all training speech, at least: no cluster is left with a handful
ACTIVATION_BYTES = 19.3e6  # kept per second of audio by Base in bf16 (docs/recipes.md, group_seconds)
FRONT_BYTES = 6.5e6  # likewise by the feature encoder (docs/log.md)
STATE_BYTES = 20  # per parameter: weight, gradient, two moments, and a bf16 copy
USABLE_MEMORY = 0.7
SHORT_UPDATES = 20_000
TINY_HOURS, SMALL_HOURS, LARGE_HOURS = 10.0, 300.0, 30_000.0
LARGE_GPUS = 32
NOTED_BAD = 0.005  # of the recordings: half of what `max_rejected` allows by default
CLUSTERS = (500, 200, 100, 50, 20, 10)
FIRST_SHARE = 0.4  # of the time for the first of two iterations


@dataclass(frozen=True)
class Advice:
    """A value of a field, and why."""

    value: object
    why: str = ""


@dataclass(frozen=True)
class NetworkSize:
    """A network that is shipped, and how it is trained in the papers or in our trials."""

    name: str
    batch_seconds: float
    group_seconds: float
    peak_lr: float
    updates: int
    clip_norm: float
    source: str


TINY = NetworkSize("tiny", 12.0, 6.0, 2e-3, 400_000, 1.2, "our trials on two cores, docs/log.md")
SMALL = NetworkSize("small", 2800.0, 87.5, 5e-4, 400_000, 10.0, "HuBERT Base's, docs/algorithm.md 10")
BASE = NetworkSize("base", 2800.0, 87.5, 5e-4, 400_000, 10.0, "HuBERT Base, docs/algorithm.md 10")
LARGE = NetworkSize("large", 7200.0, 56.25, 1.5e-3, 700_000, 1.0, "WavLM Large, docs/algorithm.md 10")


def choose_size(hours: float, machine: Machine) -> tuple[NetworkSize, str]:
    """The network for so much speech on this machine."""
    if not machine.gpus:
        return TINY, f"what {machine} can train in hours"
    if hours < TINY_HOURS:
        return TINY, f"{hours:.1f} h are far too little for more parameters (docs/recipes.md)"
    if hours < SMALL_HOURS:
        return SMALL, f"27 M parameters for {hours:,.0f} h; the papers train Base on {PAPER_HOURS:.0f} h (own choice)"
    is_large = hours >= LARGE_HOURS and machine.gpus >= LARGE_GPUS
    why = "94,000 h and 64 GPUs in the paper" if is_large else f"the papers train Base on {PAPER_HOURS:.0f} h"
    return LARGE if is_large else BASE, f"{hours:,.0f} h and {machine.gpus} GPUs; {why}"


@dataclass(frozen=True)
class BatchSizes:
    """Seconds of audio of an update and of a micro-batch, and the longest crop."""

    batch_seconds: Advice
    group_seconds: Advice
    crop_seconds: Advice


def choose_batch(
    size: NetworkSize, network: NetworkSpec, hours: float, lengths: Sequence[float], machine: Machine
) -> BatchSizes:
    """Micro-batches that fit into memory, and as many of them as the papers' batch asks for."""
    if not machine.gpus:
        count = 2 ** int(math.log2(min(max(machine.cores, 2), 8)))
        return BatchSizes(
            Advice(count * size.group_seconds, f"{count} micro-batches: one per core ({machine.cores} cores)"),
            Advice(size.group_seconds, "two crops; an utterance is mixed with others of its micro-batch"),
            Advice(3.0, "short crops, so that an update takes a moment on a CPU (docs/log.md)"),
        )
    crop = min(15.625, max(3.0, math.ceil(float(np.quantile(lengths, 0.95)))))
    room = _seconds_that_fit(network, machine.gigabytes)
    group = math.floor(2 * min(room, BASE.group_seconds if size is TINY else size.group_seconds)) / 2
    why_group = f"{room:,.0f} s would fit into {machine.gigabytes:.0f} GB, by counting; papers: 87.5 s, Large 56.25"
    crop = min(crop, group / 2)
    wanted = group * machine.gpus if size is TINY else size.batch_seconds * math.sqrt(min(1.0, hours / PAPER_HOURS))
    per_gpu = 2 ** max(0, round(math.log2(max(wanted / (group * machine.gpus), 1.0))))
    batch = per_gpu * machine.gpus * group
    return BatchSizes(
        Advice(batch, f"{per_gpu} per GPU of {machine.gpus}; {_why_batch(size, hours)}"),
        Advice(group, why_group),
        Advice(crop, "95 % of the recordings are not longer; at most 15.625 s, as in the paper, and what memory holds"),
    )


def _why_batch(size: NetworkSize, hours: float) -> str:
    if size is TINY:
        return "small batches were better in trials (docs/recipes.md)"
    if hours < PAPER_HOURS:
        return f"{size.batch_seconds:.0f} s for {PAPER_HOURS:.0f} h, with the root of the hours (own choice)"
    return f"{size.batch_seconds:.0f} s in {size.source}"


def _seconds_that_fit(network: NetworkSpec, gigabytes: float) -> float:
    """Seconds of audio of a micro-batch that fit into a GPU. At least four."""
    scale = network.num_layers * network.width / (12 * 768)
    free = USABLE_MEMORY * gigabytes * 1e9 - STATE_BYTES * num_parameters(network, 500)
    return max(4.0, free / (ACTIVATION_BYTES * scale + FRONT_BYTES))


def choose_updates(
    size: NetworkSize, network: NetworkSpec, batch: BatchSizes, hours: float, machine: Machine, share: float
) -> Advice:
    """As many as the papers' epochs, the papers' updates and the machine's hours allow; `share`: of these hours."""
    seconds = float(str(batch.batch_seconds.value))
    flops = BACKWARD_FACTOR * forward_flops(network, float(str(batch.crop_seconds.value)))
    by_time = share * machine.hours_per_week * 3600 * machine.flops / (flops * seconds)
    by_epochs = MOST_EPOCHS * hours * 3600 / seconds
    updates = _round(max(40.0, min(by_time, by_epochs, size.updates)))
    epochs = updates * seconds / 3600 / hours
    if updates >= size.updates:
        why = f"as in {size.source}"
    elif by_time < by_epochs:
        why = f"what {machine} do in {share * machine.hours_per_week:.3g} h (--hours-per-week), by operations"
    else:
        why = "as often as HuBERT's second iteration goes through its speech"
    return Advice(updates, f"{_show(epochs)} times through the speech: {why}")


def choose_lr(size: NetworkSize, batch_seconds: float) -> Advice:
    """The papers' rate, with the root of the batch, as is right for Adam (arXiv 2205.10287)."""
    if size is TINY:
        return Advice(size.peak_lr, f"{size.source}; 3e-3 did not learn with small batches")
    rate = float(f"{size.peak_lr * math.sqrt(batch_seconds / size.batch_seconds):.2g}")
    return Advice(
        rate, f"{size.peak_lr:g} at {size.batch_seconds:.0f} s, with the root of the batch (arXiv 2205.10287)"
    )


def choose_clusters(hours: float, wanted: int, rate_hz: int) -> tuple[Advice, Advice | None]:
    """K, and frames per cluster of the sample if there are fewer than usual."""
    frames = hours * 3600 * rate_hz
    fitting = [count for count in CLUSTERS if count <= wanted and frames >= FRAMES_PER_CLUSTER * count]
    count = fitting[0] if fitting else CLUSTERS[-1]
    why = "as in HuBERT (docs/algorithm.md 11)" if count == wanted else f"fewer than {wanted}: {hours:.2g} h only"
    if count * FRAMES_PER_CLUSTER <= frames:
        return Advice(count, why), None
    sample = max(1, int(frames / count))
    return Advice(count, why), Advice(sample, "there is no more speech")


def choose_shards(found: Holdings, machine: Machine, size: NetworkSize) -> dict[str, Advice]:
    """How recordings are cut, joined and packed."""
    lengths = found.lengths
    short = float(lengths[lengths < 2.0].sum() / lengths.sum())
    fields = {"min_seconds": Advice(2.0, "as in the papers (docs/algorithm.md 7)")}
    if short > 0.05:
        very_short = float(lengths[lengths < 1.0].sum() / lengths.sum())
        fields["min_seconds"] = Advice(
            1.0 if very_short <= 0.05 else 0.5, f"{short:.0%} of the audio is in recordings below 2 s"
        )
    limit = 15.6 if size is TINY else 30.0
    cut = int((lengths > limit).sum())
    fields["max_seconds"] = Advice(limit, f"longer recordings are cut: {cut:,} of {len(lengths):,}")
    if float(np.median(lengths)) < 3.0 and found.speakers:
        fields["join_seconds"] = Advice(8.0, "half of the recordings are below 3 s: those of one speaker are joined")
    fields["shard_megabytes"] = _choose_shard_size(found.hours, machine.cores)
    bad = found.num_bad / len(found.reading.recordings)
    if bad > NOTED_BAD:
        share = min(0.5, math.ceil(200 * bad + 1) / 100)
        fields["max_rejected"] = Advice(share, f"about {bad:.1%} are broken or silent: LOOK at them before you train")
    return fields


def _choose_shard_size(hours: float, cores: int) -> Advice:
    megabytes = hours * 3600 * 0.0189
    size = min(512, max(8, 2 ** int(math.log2(max(megabytes / (4 * cores), 1.0)))))
    return Advice(float(size), f"{megabytes:,.0f} MB in all: a few shards per core, {cores} cores")


def _show(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.1f}"


def _round(value: float) -> int:
    """Two digits that count."""
    digits = max(0, int(math.log10(value)) - 1)
    return int(round(value / 10**digits) * 10**digits)


def read_shipped(name: str) -> NetworkSpec:
    """A network that is shipped."""
    return read_network(shipped_specs() / "networks" / f"{name}.yaml")
