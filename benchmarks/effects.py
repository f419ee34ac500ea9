"""The loader with the effects of the demo's mix against the loader without them, on the same crops of 3 s.

Both sides run in this process on one core, in turn. The cost of each effect is that of one application to a crop.
The shipped mix is read from data_specs; its room responses are made up, because the demo's are downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

import numpy as np

from benchmarks.harness import ROOT, Claim, Figure, compare
from benchmarks.jobs import SMALL, job
from benchmarks.speech import Speech, speech
from wavlm.execution.job import TrainJob
from wavlm.execution.runtime import Runtime
from wavlm.loader.epochs import SamplerState
from wavlm.loader.loader import loader
from wavlm.mixing.effects import Waveform, apply_effects
from wavlm.shards import Reader
from wavlm.specs import SAMPLE_RATE_HZ, EffectSpec, MixSpec, TrainSpec
from wavlm.specs.yaml import read_mix

CROP_SECONDS = 3.0
MICRO_BATCHES = 40  # a call of a side
DRAWS = 20

rate = Claim("effects.loader.rate", "x real time per core", devices=("cpu",))
kept = Claim("effects.loader.kept", "of the loader's rate without effects", "our loader", devices=("cpu",))
cost = Claim("effects.cost", "ms per second of audio, over all crops", devices=("cpu",))
CLAIMS = (rate, kept, cost)


def main(device: str) -> Iterator[Figure]:  # noqa: ARG001 - effects run on CPUs alone
    """The rate of the loader, and what each effect costs, as a note."""
    mix = read_mix(ROOT / "data_specs/mixes/robust-speech.yaml")
    with speech() as audio:
        plain = _job(audio, mix.model_copy(update={"effects": ()}))
        sides = {"plain": _load(plain), "effects": _load(plain.model_copy(update={"mix": mix}))}
        seconds = {name: side() for name, side in sides.items()}
        times = compare(sides, rounds=5)
        reader = Reader(audio.shards)
        crop = reader.read(0)[: int(CROP_SECONDS * SAMPLE_RATE_HZ)]
    rates = {name: seconds[name] / times[name].median for name in sides}
    note = f"x real time per core: {', '.join(f'{name} {value:,.0f}' for name, value in rates.items())}; {audio.note}"
    yield rate.figure(rates["effects"], "cpu", note)
    yield kept.figure(rates["effects"] / rates["plain"], "cpu", note)
    room = EffectSpec(name="room", probability=0.1)
    effects = (*mix.effects, room)
    costs = {effect.name: _measure(crop, effect) for effect in effects}
    mean = sum(effect.probability * costs[effect.name] for effect in effects)
    words = ", ".join(f"{name} {1000 * value:.2f}" for name, value in costs.items())
    yield cost.figure(1000 * mean, "cpu", f"once to a second of audio, in ms: {words}")


def _job(audio: Speech, mix: MixSpec) -> TrainJob:
    """As the second iteration of the demo."""
    train = TrainSpec(
        updates=1,
        warmup_updates=0,
        peak_lr=1e-4,
        batch_seconds=12.0,
        group_seconds=6.0,
        max_crop_seconds=CROP_SECONDS,
    )
    return job(audio, "effects", SMALL, train, Runtime(workers=0)).model_copy(update={"mix": mix})


def _load(made: TrainJob) -> Callable[[], float]:
    """Load some micro-batches per call; seconds of audio."""
    batches = loader(made, SamplerState())
    return lambda: sum(batch.seconds for batch in islice(batches, MICRO_BATCHES))


def _measure(crop: Waveform, effect: EffectSpec) -> float:
    """Seconds of computation per second of audio for one application."""
    always = (effect.model_copy(update={"probability": 1.0}),)

    def draw_all() -> None:
        for seed in range(DRAWS):
            apply_effects(crop, always, np.random.default_rng(seed), _make_room)

    times = compare({effect.name: partial(draw_all)}, rounds=3)
    return times[effect.name].median / DRAWS / (len(crop) / SAMPLE_RATE_HZ)


def _make_room(number: float) -> tuple[str, Waveform]:
    """A response of 0.4 s, as long as the demo's."""
    rng = np.random.default_rng(int(1000 * number))
    tail = 0.03 * rng.standard_normal(6200) * 10 ** (-3 * np.arange(6200) / 6200)
    return "made up", np.concatenate([[0.9], tail]).astype(np.float32)
