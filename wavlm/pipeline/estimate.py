"""How long the rest of a recipe takes on this machine's cores: measured on a moment of training, not looked up.

Training takes most of the time of a small recipe. So one crop is run through the recipe's network, forwards and
backwards, on one core. That gives the speed of this machine; the rates of the other stages, measured on another
machine (`wavlm.pipeline.cost`), are scaled by it. Downloads depend on the network and are not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from wavlm.execution.processes import num_cores
from wavlm.execution.rates import CORE_FLOPS, DECODE_RATE, ENCODE_RATE, MFCC_RATE, RESAMPLE_RATE
from wavlm.pipeline.amounts import hours_of, share_to_make
from wavlm.pipeline.artifacts import Artifact, Codebook, Evaluation, Finetune, Labels, Model, Scores, Shards, Simulation
from wavlm.pipeline.cost import LENGTH_SECONDS, sample_seconds
from wavlm.pipeline.finetune_cost import flops_of, seconds_of
from wavlm.pipeline.imported import network_of
from wavlm.pipeline.simulation_cost import hours_of_simulation
from wavlm.pipeline.store import Store
from wavlm.specs import NetworkSpec, hidden_features
from wavlm.specs.frames import sample_rate_of
from wavlm.specs.shapes import BACKWARD_FACTOR, forward_flops

REFERENCE_FLOPS = CORE_FLOPS  # of one core of the machine on which the rates of steps were measured, in the same crop
PASSES = 3  # timed, after one that is not
MOST_CROP_SECONDS = 3.0
MOST_FLOPS = 1e10  # of a pass: some tenths of a second, also for Large, whose whole crop would take ten
FIXED_SECONDS = 2.0  # of each artifact: a process, its imports, a record


def measure_speed(network: NetworkSpec, crop_seconds: float) -> float:
    """Operations per second of one core of this machine, forwards and backwards through this network."""
    import torch

    from wavlm.features.extract import one_thread
    from wavlm.nn import WavLM

    of_a_second = BACKWARD_FACTOR * forward_flops(network, 1.0)
    seconds = min(crop_seconds, MOST_CROP_SECONDS, MOST_FLOPS / of_a_second)
    with one_thread():
        model = WavLM(network, num_clusters=2)
        waveform = torch.zeros(1, round(seconds * sample_rate_of(network)))
        spent = [
            _time_pass(lambda: torch.autograd.backward(model.extract(waveform).square().mean()))
            for _ in range(1 + PASSES)
        ]
    return BACKWARD_FACTOR * forward_flops(network, seconds) * seconds / min(spent[1:])


def estimate_on_this_machine(artifacts: Sequence[Artifact], store: Store) -> dict[Artifact, float]:
    """Seconds that each of these artifacts takes here, without a GPU. Measures the speed if a network is used."""
    network = next((item.network for item in artifacts if isinstance(item, Model)), None)
    crop = next((item.train.max_crop_seconds for item in artifacts if isinstance(item, Model)), 0.0)
    flops = measure_speed(network, crop) if network else REFERENCE_FLOPS
    return estimate_seconds(artifacts, store, flops, num_cores())


def estimate_seconds(artifacts: Sequence[Artifact], store: Store, flops: float, cores: int) -> dict[Artifact, float]:
    """Seconds that each of these artifacts takes on `cores` cores of that speed. Unknown hours count as none."""
    return {item: FIXED_SECONDS + _core_seconds(item, store, flops) / _cores_used(item, cores) for item in artifacts}


def _time_pass(run: Callable[[], object]) -> float:
    """CPU seconds, not wall seconds: other work on the machine is no property of it."""
    start = time.thread_time()
    run()
    return time.thread_time() - start


def _cores_used(artifact: Artifact, cores: int) -> int:
    """Codebooks and scores are made on one core."""
    return 1 if isinstance(artifact, Codebook | Evaluation | Scores) else max(1, cores)


def _core_seconds(artifact: Artifact, store: Store, flops: float) -> float:
    """Seconds of one core. What is not listed takes little more than its fixed seconds."""
    match artifact:
        case Shards():
            rate = 1 / (1 / DECODE_RATE + 1 / RESAMPLE_RATE + 1 / ENCODE_RATE)
            seconds = share_to_make(artifact, store) * _seconds_of(artifact, store) / rate * REFERENCE_FLOPS / flops
        case Labels():
            seconds = share_to_make(artifact, store) * _seconds_of(artifact.shards, store)
            seconds = _feature_seconds(artifact.codebook, seconds, flops, store)
        case Codebook():
            there = sum(_seconds_of(item, store) for item in artifact.shards)
            seconds = _feature_seconds(artifact, min(there, sample_seconds(artifact.spec)), flops, store)
        case Model():
            train = artifact.train
            per_second = BACKWARD_FACTOR * forward_flops(artifact.network, train.max_crop_seconds)
            seconds = train.updates * train.batch_seconds * per_second / flops
        case Evaluation():
            there = sum(_seconds_of(item, store) for item in artifact.data)
            seconds = there * _state_seconds(artifact, flops, store)
        case Finetune():
            network = network_of(artifact.stands_on, store)
            seconds = flops_of(artifact, network) / flops if network else seconds_of(artifact) / MFCC_RATE
        case _:
            seconds = 0.0
    return seconds


def _state_seconds(artifact: Evaluation, flops: float, store: Store) -> float:
    """What one core needs for all layers of a second of audio; heads and their search are not in it."""
    network = network_of(artifact.subject, store)
    return forward_flops(network, LENGTH_SECONDS) / flops if network else REFERENCE_FLOPS / flops / MFCC_RATE


def _feature_seconds(codebook: Codebook, seconds: float, flops: float, store: Store) -> float:
    """What one core needs for the features of so much audio; of a teacher that is not known yet 0."""
    hidden = hidden_features(codebook.spec)
    if codebook.teacher is None or hidden is None:
        return seconds * (1 / DECODE_RATE + 1 / MFCC_RATE) * REFERENCE_FLOPS / flops
    network = network_of(codebook.teacher, store)
    return seconds * forward_flops(network, LENGTH_SECONDS, hidden.layer) / flops if network else 0.0


def _seconds_of(data: Shards | Simulation, store: Store) -> float:
    hours = hours_of_simulation(data, store) if isinstance(data, Simulation) else hours_of(data, store).known
    return hours * 3600
